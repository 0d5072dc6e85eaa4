"""The graph of nearest neighbours as a step of a pipeline."""

from __future__ import annotations

from numpy.typing import ArrayLike

from annx._extra import extra
from annx.integrations.sklearn._neighbors import KNeighbors, one_of

with extra("sklearn"):
    from scipy.sparse import csr_matrix
    from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted


class AnnxTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, KNeighbors):
    """Transform samples into a sparse graph of their nearest neighbours.

    As `sklearn.neighbors.KNeighborsTransformer`, with an HNSW graph in place of its trees.
    It goes in front of whatever takes ``metric="precomputed"``.

    Parameters
    ----------
    mode : {"distance", "connectivity"}
        Whether an edge weighs its length or 1. With ``"distance"`` a row has one neighbour
        more than `n_neighbors`, since the first neighbour of a sample is the sample.
    n_neighbors : int
    metric, algorithm, M, ef_construction, ef_search, codec, n_jobs, random_state
        As in `AnnxNeighbors`.

    Attributes
    ----------
    index_, n_samples_fit_, n_features_in_, feature_names_in_
        As of `AnnxNeighbors`.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from annx.integrations.sklearn import AnnxTransformer
    >>> X, y = [[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]], [0, 0, 0, 1, 1, 1]
    >>> model = make_pipeline(
    ...     AnnxTransformer(n_neighbors=3),
    ...     KNeighborsClassifier(n_neighbors=3, metric="precomputed"),
    ... )
    >>> model.fit(X, y).predict([[0.3], [0.9]])
    array([0, 1])
    """

    def __init__(
        self,
        *,
        mode: str = "distance",
        n_neighbors: int = 5,
        metric: str = "euclidean",
        algorithm: str = "hnsw",
        M: int = 16,
        ef_construction: int = 200,
        ef_search: int | None = None,
        codec: str = "f32",
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.algorithm = algorithm
        self.M = M
        self.ef_construction = ef_construction
        self.ef_search = ef_search
        self.codec = codec
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.mode = mode

    @property
    def _n_features_out(self) -> int:
        return self.n_samples_fit_

    def _entries(self) -> int:
        one_of(self.mode, "mode", ("connectivity", "distance"))
        return self._count(None) + (self.mode == "distance")

    def transform(self, X: ArrayLike) -> csr_matrix:
        """Return the graph from each row to the nearest samples of `fit`.

        Parameters
        ----------
        X : array_like of shape (n_queries, n_features)

        Returns
        -------
        csr_matrix of shape (n_queries, n_samples_fit)
            ``n_neighbors + 1`` entries a row with ``mode="distance"``, else `n_neighbors`;
            sorted by distance.
        """
        check_is_fitted(self)
        return self.kneighbors_graph(X, self._entries(), self.mode)

    def fit_transform(self, X: ArrayLike, y: object = None) -> csr_matrix:
        """Build the index and return the graph of the samples.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        csr_matrix of shape (n_samples, n_samples)
            As of `transform`; each row begins with the sample itself, at distance 0.
        """
        k = self._entries()
        rows = self._fit(X)
        return self._graph(*self._neighbors_of_samples(rows, k), self.mode)
