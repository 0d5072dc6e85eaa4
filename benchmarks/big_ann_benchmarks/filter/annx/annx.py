"""annx in big-ann-benchmarks, filter track: copy this folder to neurips23/filter/annx."""

import os

import numpy as np
from benchmark.datasets import DATASETS
from neurips23.filter.base import BaseFilterANN

import annx

METRICS = {"euclidean": "l2", "ip": "ip", "angular": "cosine"}


def _words(matrix, row):
    """Columns of a CSR matrix that are set in a row."""
    return matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]


def _rows_of_words(matrix):
    """Rows in which each column of a CSR matrix is set, ascending, as (starts, rows)."""
    rows = np.repeat(np.arange(len(matrix.indptr) - 1), np.diff(matrix.indptr))
    order = np.argsort(matrix.indices, kind="stable")
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    return np.concatenate([[0], np.cumsum(counts)]), rows[order]


class Annx(BaseFilterANN):
    """An ``annx.Index``; a query's filter is the rows that have all of its words.

    Parameters
    ----------
    metric : str
        big-ann-benchmarks' name.
    index_params : dict
        Of ``annx.Index``, and ``threads``.
    """

    def __init__(self, metric, index_params):
        self._metric = METRICS[metric]
        self._params = dict(index_params)
        self._threads = self._params.pop("threads", None)
        self._query = {}
        self._index = self._words = self.res = None

    def _path(self, dataset):
        made = "-".join(f"{name}{value}" for name, value in sorted(self._params.items()))
        return os.path.join("data", f"{dataset}.{made or 'default'}.annx")

    def _read_words(self, ds):
        if ds.search_type() == "knn_filtered":
            self._words = _rows_of_words(ds.get_dataset_metadata())

    def fit(self, dataset):
        ds = DATASETS[dataset]()
        self._read_words(ds)
        self._index = annx.Index(ds.d, self._metric, **self._params)
        self._index.add(ds.get_dataset(), num_threads=self._threads)
        self._index.save(self._path(dataset))

    def load_index(self, dataset):
        if not os.path.exists(self._path(dataset)):
            return False
        self._index = annx.load(self._path(dataset))
        self._read_words(DATASETS[dataset]())
        return True

    def set_query_arguments(self, query_args):
        self._query = dict(query_args)

    def query(self, X, k):
        self.res = self._index.search(X, k, num_threads=self._threads, **self._query).labels

    def filtered_query(self, X, filter, k):
        starts, rows = self._words

        def allowed(query):
            found = None
            # The rarest first: later intersections are no larger.
            for word in sorted(query, key=lambda word: starts[word + 1] - starts[word]):
                has = rows[starts[word] : starts[word + 1]]
                found = has if found is None else np.intersect1d(found, has, assume_unique=True)
            return found

        known = {}
        filters = []
        for number in range(len(X)):
            query = tuple(sorted(_words(filter, number)))
            if query not in known:
                known[query] = annx.Filter(self._index, allowed(query))
            filters.append(known[query])
        self.res = self._index.search(
            X, k, filter=filters, num_threads=self._threads, **self._query
        ).labels

    def get_results(self):
        return self.res

    def __str__(self):
        return f"annx({self._params}, {self._query})"
