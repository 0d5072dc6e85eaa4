"""Recommendations of implicit's factor models, searched for instead of scored one by one."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import Filter, FormatError, Index
from annx._extra import extra
from annx.errors import ParameterError

with extra("implicit"):
    from implicit.recommender_base import RecommenderBase
    from scipy.sparse import csr_matrix

__all__ = ["AnnxModel"]

Found: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32]]
Path: TypeAlias = str | os.PathLike[str] | BinaryIO

#: What implicit puts where there are fewer items than asked for.
_NO_ITEM, _NO_SCORE = -1, -np.finfo(np.float32).max
#: Elements of factors that are scored together: 16 MB.
_BLOCK = 1 << 22
#: Each index, the factors that it holds, and its metric.
_PARTS = {
    "recommend": ("item_factors", "ip"),
    "similar_items": ("item_factors", "cosine"),
    "similar_users": ("user_factors", "cosine"),
}


class AnnxModel(RecommenderBase):
    """A factor model of implicit whose queries annx answers.

    `recommend` searches the items by inner product, as it is, without the dimension that
    other libraries must add; and what each user has seen is left out within the search, so
    that users with long histories get as many recommendations as others.

    Parameters
    ----------
    model : MatrixFactorizationBase
        Such as `implicit.als.AlternatingLeastSquares`, fitted or not.
    approximate_recommend, approximate_similar_items, approximate_similar_users : bool
        Which methods annx answers; the model itself answers the others.
    M, ef_construction, codec, seed
        As in `annx.Index`.
    ef_search : int
        Width of a search's beam: wider finds more of the true best, and is slower.

    Attributes
    ----------
    model : MatrixFactorizationBase
    indexes : dict of str to Index
        Those of ``"recommend"``, ``"similar_items"`` and ``"similar_users"``.

    Examples
    --------
    >>> import numpy as np
    >>> from implicit.cpu.als import AlternatingLeastSquares
    >>> from scipy.sparse import csr_matrix
    >>> from threadpoolctl import threadpool_limits
    >>> from annx.integrations.implicit import AnnxModel
    >>> likes = csr_matrix(np.kron(np.eye(2), np.ones((4, 4))) - np.eye(8), dtype=np.float32)
    >>> with threadpool_limits(1, "blas"):  # as implicit wishes
    ...     model = AnnxModel(AlternatingLeastSquares(factors=4, random_state=0))
    ...     model.fit(likes, show_progress=False)
    >>> ids, scores = model.recommend(np.arange(8), likes, N=1)
    >>> ids.ravel()
    array([0, 1, 2, 3, 4, 5, 6, 7], dtype=int32)
    """

    def __init__(
        self,
        model: Any,
        approximate_recommend: bool = True,
        approximate_similar_items: bool = True,
        approximate_similar_users: bool = True,
        *,
        M: int = 16,
        ef_construction: int = 200,
        ef_search: int = 128,
        codec: str = "auto",
        seed: int = 0,
    ) -> None:
        self.model = model
        self.approximate_recommend = approximate_recommend
        self.approximate_similar_items = approximate_similar_items
        self.approximate_similar_users = approximate_similar_users
        self._parameters: dict[str, Any] = {
            "M": M,
            "ef_construction": ef_construction,
            "ef_search": ef_search,
            "codec": codec,
            "seed": seed,
        }
        self.indexes: dict[str, Index] = {}
        if getattr(model, "item_factors", None) is not None:
            self.refresh()

    def fit(
        self,
        user_items: csr_matrix,
        show_progress: bool = True,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Fit the model and build the indexes of its factors.

        Parameters
        ----------
        user_items : csr_matrix of shape (n_users, n_items)
        show_progress, callback
            As of the model.
        """
        self.model.fit(user_items, show_progress, callback=callback)
        self.refresh()

    def refresh(self) -> None:
        """Build the indexes of the factors that the model has now, and put them in place.

        Until then queries are answered by the old ones, in other threads too.
        """
        indexes = {}
        for name, (factors, metric) in _PARTS.items():
            if not getattr(self, f"approximate_{name}"):
                continue
            rows = self._factors(factors)
            # A vector of zeros has no direction; nothing is similar to it.
            labels = np.flatnonzero(rows.any(axis=1)) if metric == "cosine" else range(len(rows))
            index = Index(rows.shape[1], metric, num_threads=self._threads(), **self._parameters)
            index.add(rows[labels], labels=labels)
            indexes[name] = index
        self.indexes = indexes

    def recommend(
        self,
        userid: int | ArrayLike,
        user_items: csr_matrix | None,
        N: int = 10,
        filter_already_liked_items: bool = True,
        filter_items: ArrayLike | None = None,
        recalculate_user: bool = False,
        items: ArrayLike | None = None,
    ) -> Found:
        """Recommend items to one user or many.

        Parameters
        ----------
        userid : int or array_like of n_users ints
        user_items : csr_matrix of shape (n_users, n_items)
            What each of these users has liked; may be None where nothing is to be
            filtered or recalculated by it.
        N : int
        filter_already_liked_items : bool
            Leave out the items of the user's row.
        filter_items : array_like of ints, optional
            Leave out these, for all.
        recalculate_user : bool
            Compute the users' factors from `user_items`.
        items : array_like of ints, optional
            Rank these alone; the model itself does.

        Returns
        -------
        ids : ndarray of shape (N,) for one user, else (n_users, N), int32
        scores : ndarray, float32
            The inner products. Where fewer than N items are left, the arrays of one user are
            shorter, and those of many are padded with -1 and the least float32.

        Raises
        ------
        ParameterError
            `user_items` is not CSR or does not have a row for each user.
        IndexError
            There is no such user.
        NotImplementedError
            The model cannot recalculate users.
        """
        if items is not None or "recommend" not in self.indexes:
            exact: Found = self.model.recommend(
                userid,
                user_items,
                N=N,
                filter_already_liked_items=filter_already_liked_items,
                filter_items=filter_items,
                recalculate_user=recalculate_user,
                items=items,
            )
            return exact
        users = np.atleast_1d(userid)
        if filter_already_liked_items or recalculate_user:
            if not isinstance(user_items, csr_matrix):
                raise ParameterError(
                    f"expected user_items as CSR sparse matrix, got {type(user_items).__name__}"
                )
            if user_items.shape[0] != len(users):
                raise ParameterError(
                    f"expected a row of user_items for each of {len(users)} users, "
                    f"got {user_items.shape[0]}"
                )
        if recalculate_user:
            queries = self.model.recalculate_user(userid, user_items)
        else:
            queries = self._factors("user_factors")[users]
        index = self.indexes["recommend"]
        seen: Sequence[ArrayLike] | None = None
        if filter_already_liked_items and user_items is not None:
            ends = user_items.indptr
            seen = [user_items.indices[a:b] for a, b in zip(ends, ends[1:], strict=False)]
        hits = index.search(
            _rows(queries), min(N, len(index)), filter=_deny(index, seen, filter_items)
        )
        return self._ranked(hits.labels, _rows(queries), "item_factors", N, np.isscalar(userid))

    def similar_items(
        self,
        itemid: int | ArrayLike,
        N: int = 10,
        recalculate_item: bool = False,
        item_users: csr_matrix | None = None,
        filter_items: ArrayLike | None = None,
        items: ArrayLike | None = None,
    ) -> Found:
        """Find the items most like one or many, by cosine; each is most like itself.

        Parameters
        ----------
        itemid : int or array_like of n_ids ints
        N : int
        recalculate_item : bool
            Compute the items' factors from `item_users`.
        item_users : csr_matrix of shape (n_ids, n_users), optional
        filter_items : array_like of ints, optional
            Leave out these.
        items : array_like of ints, optional
            Rank these alone; the model itself does.

        Returns
        -------
        ids, scores
            As of `recommend`; scores are cosines.
        """
        queries = None
        if recalculate_item:
            queries = self.model.recalculate_item(itemid, item_users)
        found = self._similar("similar_items", itemid, N, filter_items, items, queries)
        if found is None:
            found = self.model.similar_items(
                itemid,
                N,
                recalculate_item=recalculate_item,
                item_users=item_users,
                filter_items=filter_items,
                items=items,
            )
        return found

    def similar_users(
        self,
        userid: int | ArrayLike,
        N: int = 10,
        filter_users: ArrayLike | None = None,
        users: ArrayLike | None = None,
    ) -> Found:
        """Find the users most like one or many, by cosine; each is most like itself.

        Parameters
        ----------
        userid : int or array_like of n_ids ints
        N : int
        filter_users : array_like of ints, optional
            Leave out these.
        users : array_like of ints, optional
            Rank these alone; the model itself does.

        Returns
        -------
        ids, scores
            As of `recommend`; scores are cosines.
        """
        found = self._similar("similar_users", userid, N, filter_users, users, None)
        if found is None:
            found = self.model.similar_users(userid, N, filter_users=filter_users, users=users)
        return found

    def save(self, file: Path) -> None:
        """Write the model and the indexes to a file in NumPy's .npz format.

        Parameters
        ----------
        file : str, path-like or binary file
        """
        inner = io.BytesIO()
        self.model.save(inner)
        kind = type(self.model)
        parts = {f"index_{name}": index.to_bytes() for name, index in self.indexes.items()}
        arrays = {
            name: np.frombuffer(data, np.uint8)
            for name, data in {"model": inner.getvalue(), **parts}.items()
        }
        settings = {f"set_{name}": value for name, value in self._parameters.items()}
        names: Any = {"kind": f"{kind.__module__}:{kind.__qualname__}", **settings, **arrays}
        np.savez(file, **names)

    @classmethod
    def load(cls, fileobj_or_path: Path) -> AnnxModel:
        """Read what `save` wrote.

        Parameters
        ----------
        fileobj_or_path : str, path-like or binary file
            A path may leave out ``.npz``.

        Raises
        ------
        FormatError
            The file holds no such model, or one whose class is not implicit's.
        """
        if isinstance(fileobj_or_path, str) and not fileobj_or_path.endswith(".npz"):
            fileobj_or_path += ".npz"
        with np.load(fileobj_or_path, allow_pickle=False) as data:
            if not {"kind", "model"} <= data.keys():
                raise FormatError(f"expected a saved AnnxModel, got arrays {sorted(data)}")
            kind = _class_of(str(data["kind"]))
            parts = {
                name: Index.from_bytes(data[f"index_{name}"].tobytes())
                for name in _PARTS
                if f"index_{name}" in data
            }
            settings = {name[4:]: data[name].item() for name in data if name.startswith("set_")}
            inner = kind.load(io.BytesIO(data["model"].tobytes()))
        model = cls(None, *(name in parts for name in _PARTS), **settings)
        model.model, model.indexes = inner, parts
        return model

    def _threads(self) -> int | None:
        return getattr(self.model, "num_threads", None) or None

    def _factors(self, name: str) -> NDArray[np.float32]:
        factors = getattr(self.model, name)
        if hasattr(factors, "to_numpy"):  # on a GPU
            factors = factors.to_numpy()
        return np.asarray(factors, np.float32)

    def _similar(
        self,
        name: str,
        ids: int | ArrayLike,
        N: int,
        without: ArrayLike | None,
        among: ArrayLike | None,
        queries: NDArray[Any] | None,
    ) -> Found | None:
        """Search by cosine; None where the model has to answer."""
        index = self.indexes.get(name)
        factors, _ = _PARTS[name]
        if queries is None:
            queries = self._factors(factors)[np.atleast_1d(ids)]
        rows = _rows(queries)
        if index is None or among is not None or not rows.any(axis=1).all():
            return None
        hits = index.search(rows, min(N, len(index)), filter=_deny(index, None, without))
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return self._ranked(hits.labels, rows, factors, N, np.isscalar(ids), cosine=True)

    def _ranked(
        self,
        labels: NDArray[np.int64],
        queries: NDArray[np.float32],
        factors: str,
        N: int,
        single: bool,
        cosine: bool = False,
    ) -> Found:
        """Sort by scores in float32 of the factors themselves, whatever the codec."""
        found = labels != -1
        everything = self._factors(factors)
        scores = np.full(labels.shape, _NO_SCORE, np.float32)
        step = max(1, _BLOCK // max(1, labels.shape[1] * everything.shape[1]))
        for first in range(0, len(labels), step):
            part = slice(first, first + step)
            rows = everything[np.where(found[part], labels[part], 0)]
            if cosine:
                rows = rows / np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1e-10)
            products = np.einsum("qf,qkf->qk", queries[part], rows)
            scores[part] = np.where(found[part], products, _NO_SCORE)
        order = np.argsort(-scores, axis=1, kind="stable")
        ids = np.take_along_axis(labels, order, axis=1).astype(np.int32)
        scores = np.take_along_axis(scores, order, axis=1)
        if single:
            count = int(found[0].sum())
            return ids[0, :count], scores[0, :count]
        missing = N - ids.shape[1]
        return (
            np.pad(ids, ((0, 0), (0, missing)), constant_values=_NO_ITEM),
            np.pad(scores, ((0, 0), (0, missing)), constant_values=_NO_SCORE),
        )


def _rows(queries: ArrayLike) -> NDArray[np.float32]:
    return np.atleast_2d(np.asarray(queries, np.float32))


def _deny(index: Index, own: Sequence[ArrayLike] | None, common: ArrayLike | None) -> Any:
    """Make the filters that leave out items: those of each query, and those of all."""
    shared = None
    if common is not None and np.size(common):
        shared = ~Filter(index, np.asarray(common, np.int64))
    if own is None:
        return shared
    denied = [~Filter(index, np.asarray(each, np.int64)) for each in own]
    return denied if shared is None else [each & shared for each in denied]


def _class_of(name: str) -> type[RecommenderBase]:
    module, _, attribute = name.partition(":")
    # A file must not be able to import what it likes.
    if module.split(".")[0] == "implicit":
        found = getattr(import_module(module), attribute, None)
        if isinstance(found, type) and issubclass(found, RecommenderBase):
            return found
    raise FormatError(f"expected a model of implicit, got {name!r}")
