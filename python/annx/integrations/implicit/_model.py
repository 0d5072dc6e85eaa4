"""A factor model whose queries are searches."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, BinaryIO, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import FormatError, Index
from annx._extra import extra
from annx.errors import ParameterError
from annx.integrations.implicit._part import Found, Part, ranked

with extra("implicit"):
    from implicit.recommender_base import RecommenderBase
    from scipy.sparse import csr_matrix

Path: TypeAlias = str | os.PathLike[str] | BinaryIO

#: The N that widths are measured for at once.
_USUAL_N = 10
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
    recall : float
        Mean share of the true best to find, in (0, 1]. Measured over the model's own factors
        when the indexes are built and when an N is first asked for that is unlike those before,
        which takes a second or so each.
    ef_search : int, optional
        In place of `recall`: the width of a search's beam.

    Attributes
    ----------
    model : MatrixFactorizationBase

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
        recall: float = 0.95,
        ef_search: int | None = None,
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
            "codec": codec,
            "seed": seed,
        }
        self.recall, self.ef_search = recall, ef_search
        self._parts: dict[str, Part] = {}
        if getattr(model, "item_factors", None) is not None:
            self.refresh()

    @property
    def indexes(self) -> dict[str, Index]:
        """The index of each of ``"recommend"``, ``"similar_items"`` and ``"similar_users"``."""
        return {name: part.index for name, part in self._parts.items()}

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
        parts = {}
        for name, (factors, metric) in _PARTS.items():
            if not getattr(self, f"approximate_{name}"):
                continue
            rows = self._factors(factors)
            # A vector of zeros has no direction; nothing is similar to it.
            labels = np.flatnonzero(rows.any(axis=1)) if metric == "cosine" else range(len(rows))
            index = Index(rows.shape[1], metric, num_threads=self._threads(), **self._parameters)
            index.add(rows[labels], labels=labels)
            parts[name] = Part(index, {})
            self._width(name, parts[name], _USUAL_N)
        self._parts = parts

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
        if items is not None or "recommend" not in self._parts:
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
        seen: Sequence[ArrayLike] | None = None
        if filter_already_liked_items and user_items is not None:
            ends = user_items.indptr
            seen = [user_items.indices[a:b] for a, b in zip(ends, ends[1:], strict=False)]
        rows = _rows(queries)
        labels = self._labels("recommend", rows, N, seen, filter_items)
        factors = self._factors("item_factors")
        return ranked(labels, rows, factors, N, single=np.isscalar(userid), cosine=False)

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
        goal = {"recall": self.recall} if self.ef_search is None else {"ef_search": self.ef_search}
        settings = {f"set_{name}": value for name, value in {**self._parameters, **goal}.items()}
        widths = {
            f"widths_{name}": np.array(list(part.widths.items()), np.int64).reshape(-1, 2)
            for name, part in self._parts.items()
        }
        names: Any = {
            "kind": f"{kind.__module__}:{kind.__qualname__}",
            **settings,
            **widths,
            **arrays,
        }
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
        if isinstance(fileobj_or_path, str | os.PathLike):
            with open(fileobj_or_path, "rb") as file:
                return cls.load(file)
        try:
            with np.load(fileobj_or_path, allow_pickle=False) as data:
                return cls._loaded(dict(data))
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"expected a saved AnnxModel: {error}") from error

    @classmethod
    def _loaded(cls, data: dict[str, NDArray[Any]]) -> AnnxModel:
        kind = _class_of(str(data["kind"]))
        parts = {
            name: Part(
                Index.from_bytes(data[f"index_{name}"].tobytes()),
                dict(data[f"widths_{name}"].tolist()),
            )
            for name in _PARTS
            if f"index_{name}" in data
        }
        settings = {name[4:]: data[name].item() for name in data if name.startswith("set_")}
        model = cls(None, *(name in parts for name in _PARTS), **settings)
        model.model, model._parts = kind.load(io.BytesIO(data["model"].tobytes())), parts
        return model

    def _threads(self) -> int | None:
        return getattr(self.model, "num_threads", None) or None

    def _factors(self, name: str) -> NDArray[np.float32]:
        factors = getattr(self.model, name)
        if hasattr(factors, "to_numpy"):  # on a GPU
            factors = factors.to_numpy()
        return np.asarray(factors, np.float32)

    def _labels(
        self,
        name: str,
        queries: NDArray[np.float32],
        N: int,
        own: Sequence[ArrayLike] | None,
        common: ArrayLike | None,
    ) -> NDArray[np.int64]:
        part = self._parts[name]
        return part.search(queries, N, self._width(name, part, N), own, common)

    def _width(self, name: str, part: Part, N: int) -> int:
        k = min(N, len(part.index))
        if self.ef_search is not None or not k:
            return self.ef_search or 1
        queries = "user_factors" if name == "recommend" else _PARTS[name][0]
        return part.tune(k, self.recall, lambda: self._factors(queries))

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
        factors, _ = _PARTS[name]
        if queries is None:
            queries = self._factors(factors)[np.atleast_1d(ids)]
        rows = _rows(queries)
        if name not in self._parts or among is not None or not rows.any(axis=1).all():
            return None
        labels = self._labels(name, rows, N, None, without)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        everything = self._factors(factors)
        return ranked(labels, rows, everything, N, single=np.isscalar(ids), cosine=True)


def _rows(queries: ArrayLike) -> NDArray[np.float32]:
    return np.atleast_2d(np.asarray(queries, np.float32))


def _class_of(name: str) -> type[RecommenderBase]:
    module, _, attribute = name.partition(":")
    # A file must not be able to import what it likes.
    if module.split(".")[0] == "implicit":
        found = getattr(import_module(module), attribute, None)
        if isinstance(found, type) and issubclass(found, RecommenderBase):
            return found
    raise FormatError(f"expected a model of implicit, got {name!r}")
