"""Nearest neighbours as an estimator."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx import Index
from annx._extra import extra
from annx.errors import ParameterError
from annx.integrations.sklearn._squares import METRICS, Squares

with extra("sklearn"):
    from joblib import effective_n_jobs  # scikit-learn's own dependency
    from scipy.sparse import csr_matrix
    from sklearn.base import BaseEstimator
    from sklearn.utils.validation import check_is_fitted, validate_data

#: Width of a beam at the least, beside twice the number of neighbours.
_LEAST_WIDTH = 64

Pair: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int64]]


class KNeighbors(BaseEstimator):
    """Fits an index and asks it for the k nearest: what both estimators do."""

    n_neighbors: int
    metric: str
    algorithm: str
    M: int
    ef_construction: int
    ef_search: int | None
    codec: str
    n_jobs: int | None
    random_state: int

    def fit(self, X: ArrayLike, y: object = None) -> Any:
        """Build the index.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            A parameter of the estimator is out of range.
        ZeroVectorError
            A row of zeros under ``metric="cosine"``.
        """
        self._fit(X)
        return self

    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> Pair | NDArray[np.int64]:
        """Find the nearest samples to each row.

        Parameters
        ----------
        X : array_like of shape (n_queries, n_features), optional
            By default the samples themselves, none of which is its own neighbour.
        n_neighbors : int, optional
            The estimator's own by default.
        return_distance : bool

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors), float64
            With `return_distance` only. Nearest first.
        indices : ndarray of shape (n_queries, n_neighbors), int64

        Raises
        ------
        ParameterError
            There are not so many samples.
        """
        check_is_fitted(self)
        k = self._count(n_neighbors)
        if X is None:
            distances, indices = self._neighbors_of_samples(self._samples(), k + 1)
            distances, indices = distances[:, 1:], indices[:, 1:]
        else:
            distances, indices = self._nearest(self._rows(X), k)
        return (distances, indices) if return_distance else indices

    def kneighbors_graph(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        mode: str = "connectivity",
    ) -> csr_matrix:
        """Return the graph from each row to the nearest samples.

        Parameters
        ----------
        X, n_neighbors
            As in `kneighbors`.
        mode : {"connectivity", "distance"}
            Whether an edge weighs 1 or its length.

        Returns
        -------
        csr_matrix of shape (n_queries, n_samples_fit)
            A row's entries are sorted by distance.
        """
        one_of(mode, "mode", ("connectivity", "distance"))
        distances, indices = self.kneighbors(X, n_neighbors)
        return self._graph(distances, indices, mode)

    def _fit(self, X: ArrayLike) -> NDArray[np.float32]:
        """Build the index and return the rows that it holds."""
        one_of(self.metric, "metric", METRICS)
        one_of(self.algorithm, "algorithm", ("hnsw", "brute"))
        _positive(self.n_neighbors, "n_neighbors")
        samples = validate_data(self, X, dtype=(np.float64, np.float32), order="C")
        self._squares = Squares(self.metric, samples)
        rows = self._squares.rows(samples)
        self.index_ = Index(
            rows.shape[1],
            codec=self.codec,
            M=self.M,
            ef_construction=self.ef_construction,
            seed=self.random_state,
        )
        self.index_.add(rows, num_threads=self._threads())
        self.n_samples_fit_ = len(rows)
        return rows

    def _threads(self) -> int:
        return int(effective_n_jobs(self.n_jobs))

    def _count(self, n_neighbors: int | None) -> int:
        return _positive(self.n_neighbors if n_neighbors is None else n_neighbors, "n_neighbors")

    def _rows(self, X: ArrayLike) -> NDArray[np.float32]:
        dtypes = (np.float64, np.float32)
        return self._squares.rows(validate_data(self, X, dtype=dtypes, order="C", reset=False))

    def _samples(self) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self.index_.get(np.arange(self.n_samples_fit_))
        return rows

    def _nearest(self, rows: NDArray[np.float32], k: int) -> Pair:
        if k > self.n_samples_fit_:
            raise ParameterError(
                f"expected n_neighbors <= n_samples_fit, got n_neighbors = {k}, "
                f"n_samples_fit = {self.n_samples_fit_}, n_samples = {len(rows)}"
            )
        if self.algorithm == "brute":
            hits = self.index_.exact_search(rows, k, num_threads=self._threads())
        else:
            width = max(_LEAST_WIDTH, 2 * k) if self.ef_search is None else self.ef_search
            hits = self.index_.search(rows, k, ef_search=width, num_threads=self._threads())
        return self._squares.lengths(hits.distances), hits.labels

    def _neighbors_of_samples(self, rows: NDArray[np.float32], k: int) -> Pair:
        """Find the k nearest of the samples themselves, each led by itself at distance 0."""
        distances, indices = self._nearest(rows, k)
        own = np.arange(len(rows))[:, None]
        is_own = indices == own
        # Among more than k equal samples a sample may miss itself; it displaces the last.
        place = np.where(is_own.any(axis=1), is_own.argmax(axis=1), k - 1)[:, None]
        columns = np.arange(k)
        order = np.where(columns == place, -1, columns).argsort(axis=1)
        distances = np.take_along_axis(distances, order, axis=1)
        indices = np.take_along_axis(indices, order, axis=1)
        distances[:, :1], indices[:, :1] = 0, own
        return distances, indices

    def _graph(self, distances: NDArray[Any], indices: NDArray[Any], mode: str) -> csr_matrix:
        rows, k = indices.shape
        data = distances.ravel() if mode == "distance" else np.ones(indices.size)
        ends = np.arange(0, indices.size + 1, k)
        return csr_matrix((data, indices.ravel(), ends), shape=(rows, self.n_samples_fit_))


class AnnxNeighbors(KNeighbors):
    """Find nearest neighbours, and all within a radius.

    As `sklearn.neighbors.NearestNeighbors`, with an HNSW graph in place of its trees.

    Parameters
    ----------
    n_neighbors : int
    radius : float
        In the metric's own unit. A sample at this very distance is within, up to the
        rounding of float32.
    metric : {"euclidean", "sqeuclidean", "cosine"}
        ``"l2"`` and ``"minkowski"`` are other names of ``"euclidean"``, as there.
    algorithm : {"hnsw", "brute"}
        ``"brute"`` compares with every sample, and finds what scikit-learn does.
    M, ef_construction
        As in `annx.Index`.
    ef_search : int, optional
        Width of the search's beam: wider is more exact, and slower. By default 64, or twice
        the number of neighbours if that is more.
    codec : str
        As in `annx.Index`. ``"f32"`` gives float32 distances of whatever there is;
        ``"auto"`` is faster and smaller where samples are embeddings, and rounds distances to
        float16's 11 bits.
    n_jobs : int, optional
        Threads, by joblib's rules: None is 1, -1 all.
    random_state : int
        Seed of the graph. Equal data and seed give equal results.

    Attributes
    ----------
    index_ : Index
        The samples under labels 0 to n - 1, by squared Euclidean distance: brought to length
        1 for ``"cosine"``, and moved next to the origin, where float32 is most exact.
    n_samples_fit_, n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X had names of columns.

    Examples
    --------
    >>> from annx.integrations.sklearn import AnnxNeighbors
    >>> neighbors = AnnxNeighbors(n_neighbors=1).fit([[0.0, 0.0], [0.0, 0.5], [1.0, 1.0]])
    >>> neighbors.kneighbors([[1.0, 0.75]])
    (array([[0.25]]), array([[2]]))
    """

    def __init__(
        self,
        *,
        n_neighbors: int = 5,
        radius: float = 1.0,
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
        self.radius = radius

    def radius_neighbors(
        self,
        X: ArrayLike | None = None,
        radius: float | None = None,
        return_distance: bool = True,
    ) -> tuple[NDArray[np.object_], NDArray[np.object_]] | NDArray[np.object_]:
        """Find all samples within a radius of each row.

        Parameters
        ----------
        X : array_like of shape (n_queries, n_features), optional
            By default the samples themselves, none of which is its own neighbour.
        radius : float, optional
            The estimator's own by default.
        return_distance : bool

        Returns
        -------
        distances, indices : ndarray of shape (n_queries,), object
            An array for each row, nearest first; `distances` with `return_distance` only.
        """
        graph = self.radius_neighbors_graph(X, radius, "distance")
        indices = _split(graph.indices.astype(np.int64), graph.indptr)
        return (_split(graph.data, graph.indptr), indices) if return_distance else indices

    def radius_neighbors_graph(
        self, X: ArrayLike | None = None, radius: float | None = None, mode: str = "connectivity"
    ) -> csr_matrix:
        """Return the graph from each row to all samples within a radius.

        Parameters
        ----------
        X, radius
            As in `radius_neighbors`.
        mode : {"connectivity", "distance"}
            Whether an edge weighs 1 or its length.

        Returns
        -------
        csr_matrix of shape (n_queries, n_samples_fit)
            A row's entries are sorted by distance.
        """
        check_is_fitted(self)
        one_of(mode, "mode", ("connectivity", "distance"))
        within = self._squares.square(self.radius if radius is None else radius)
        rows = self._samples() if X is None else self._rows(X)
        found = self.index_.range_search(
            rows,
            # annx leaves out what lies at the radius itself.
            float(np.nextafter(np.float32(within), np.float32(np.inf))),
            ef_search=self.ef_search,
            exact=self.algorithm == "brute",
            num_threads=self._threads(),
        )
        lims, indices, lengths = found.lims, found.labels, self._squares.lengths(found.distances)
        if X is None:
            owner = np.repeat(np.arange(len(rows)), np.diff(lims))
            others = indices != owner
            lims = np.concatenate([[0], np.cumsum(others)])[lims]
            indices, lengths = indices[others], lengths[others]
        data = lengths if mode == "distance" else np.ones(len(indices))
        return csr_matrix((data, indices, lims), shape=(len(rows), self.n_samples_fit_))


def knn_graph(
    X: ArrayLike, k: int, *, metric: str = "euclidean", **parameters: Any
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the k nearest of each sample, itself among them: what UMAP and scanpy begin with.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
    k : int
        At most n_samples.
    metric : str
    **parameters
        As of `AnnxNeighbors`.

    Returns
    -------
    indices : ndarray of shape (n_samples, k), int64
        Nearest first; the first is the sample itself.
    distances : ndarray of shape (n_samples, k), float64

    Raises
    ------
    ParameterError, ZeroVectorError
        As `AnnxNeighbors.fit` and `AnnxNeighbors.kneighbors`.

    Examples
    --------
    >>> from annx.integrations.sklearn import knn_graph
    >>> knn_graph([[0.0], [1.0], [3.0]], k=2)
    (array([[0, 1],
           [1, 0],
           [2, 1]]), array([[0., 1.],
           [0., 1.],
           [0., 2.]]))
    """
    neighbors = AnnxNeighbors(n_neighbors=k, metric=metric, **parameters)
    distances, indices = neighbors._neighbors_of_samples(neighbors._fit(X), k)
    return indices, distances


def _split(values: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.object_]:
    parts = np.empty(len(ends) - 1, object)
    parts[:] = np.split(values, ends[1:-1])
    return parts


def one_of(value: object, name: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ParameterError(f"expected {name} to be one of {choices}, got {value!r}")


def _positive(value: object, name: str) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ParameterError(f"expected {name} to be a whole number from 1, got {value!r}")
    return int(value)
