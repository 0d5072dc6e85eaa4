"""Top items for users, as the data frames that the package recommenders evaluates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import Filter, Index
from annx._extra import extra
from annx.errors import ParameterError

with extra("recommenders"):
    import pandas as pd

__all__ = ["AnnxRecommender"]


class AnnxRecommender:
    """Recommends by the inner product of the factors of users and items.

    The factors may come from any model that has them, a two-tower network or matrix
    factorization; methods are named and behave as those of ``recommenders.models.sar.SAR``.

    Parameters
    ----------
    user_factors : array_like of shape (n_users, n_factors)
    item_factors : array_like of shape (n_items, n_factors)
    user_ids : array_like of shape (n_users,), optional
        What data frames call the users; 0, 1, ... by default.
    item_ids : array_like of shape (n_items,), optional
        Likewise.
    col_user, col_item, col_prediction : str
        Names of columns, by default those of the package.
    **parameters
        As of `annx.Index`, such as `codec` or `ef_search`.

    Attributes
    ----------
    index : Index
        The items, under their positions.

    Raises
    ------
    ParameterError
        There are not as many ids as factors, or an id stands twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from annx.integrations.recommenders import AnnxRecommender
    >>> model = AnnxRecommender([[1.0, 0.0]], [[3.0, 0.0], [2.0, 9.0], [1.0, 0.0]], ["ann"])
    >>> seen = pd.DataFrame({"userID": ["ann"], "itemID": [0]})
    >>> model.fit(seen).recommend_k_items(seen, top_k=2, remove_seen=True)
      userID  itemID  prediction
    0    ann       1         2.0
    1    ann       2         1.0
    """

    def __init__(
        self,
        user_factors: ArrayLike,
        item_factors: ArrayLike,
        user_ids: ArrayLike | None = None,
        item_ids: ArrayLike | None = None,
        *,
        col_user: str = "userID",
        col_item: str = "itemID",
        col_prediction: str = "prediction",
        **parameters: Any,
    ) -> None:
        self.col_user, self.col_item, self.col_prediction = col_user, col_item, col_prediction
        self._users = np.asarray(user_factors, np.float32)
        items = np.asarray(item_factors, np.float32)
        self._user_ids = _ids(user_ids, len(self._users), "user")
        self._item_ids = _ids(item_ids, len(items), "item")
        self._items = items
        self._seen: dict[int, NDArray[np.int64]] = {}
        self.index = Index(items.shape[-1], "ip", **parameters)
        self.index.add(items)

    def fit(self, df: pd.DataFrame) -> AnnxRecommender:
        """Remember what users have seen.

        Parameters
        ----------
        df : DataFrame
            A row for each user and item. What the factors do not know is passed over.

        Returns
        -------
        self
        """
        users = self._user_ids.get_indexer(df[self.col_user])
        items = self._item_ids.get_indexer(df[self.col_item])
        known = (users >= 0) & (items >= 0)
        seen = pd.Series(items[known]).groupby(users[known])
        self._seen = {int(user): rows.to_numpy(np.int64) for user, rows in seen}
        return self

    def recommend_k_items(
        self,
        test: pd.DataFrame,
        top_k: int = 10,
        sort_top_k: bool = True,
        remove_seen: bool = False,
    ) -> pd.DataFrame:
        """Recommend items to all users of a data frame.

        Parameters
        ----------
        test : DataFrame
            Its users are recommended to, each once, in the order in which they first come.
        top_k : int
        sort_top_k : bool
            Without meaning here: the items of a user always are in order, best first.
        remove_seen : bool
            Leave out, for each user, what the data frame of `fit` has.

        Returns
        -------
        DataFrame
            With columns `col_user`, `col_item` and `col_prediction`, the inner product.

        Raises
        ------
        ParameterError
            A user has no factors.
        """
        asked = pd.unique(test[self.col_user])
        users = self._user_ids.get_indexer(asked)
        if (users < 0).any():
            raise ParameterError(f"expected users with factors, got {asked[users < 0][0]}")
        queries = self._users[users]
        denied = None
        if remove_seen and len(users):
            empty = np.empty(0, np.int64)
            denied = [~Filter(self.index, self._seen.get(user, empty)) for user in users]
        k = min(top_k, max(1, len(self.index)))
        labels = self.index.search(queries, k, filter=denied).labels
        rows, _ = np.nonzero(labels != -1)
        found = labels[labels != -1]
        # Of the factors themselves: what the codec keeps is rounded.
        scores = np.einsum("ij,ij->i", queries[rows], self._items[found])
        frame = pd.DataFrame(
            {
                self.col_user: asked[rows],
                self.col_item: self._item_ids.take(found),
                self.col_prediction: scores,
            }
        )
        order = np.lexsort((-scores, rows))
        return frame.iloc[order].reset_index(drop=True)


def _ids(given: ArrayLike | None, count: int, what: str) -> pd.Index:
    ids = pd.Index(np.arange(count) if given is None else given)
    if len(ids) != count:
        raise ParameterError(f"expected an id for each of {count} {what}s, got {len(ids)}")
    if not ids.is_unique:
        raise ParameterError(f"expected each {what} id once, got {ids[ids.duplicated()][0]} twice")
    return ids
