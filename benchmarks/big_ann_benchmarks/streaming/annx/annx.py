"""annx in big-ann-benchmarks, streaming track: copy this folder to neurips23/streaming/annx."""

import numpy as np
from neurips23.streaming.base import BaseStreamingANN

import annx

METRICS = {"euclidean": "l2", "ip": "ip", "angular": "cosine"}


class Annx(BaseStreamingANN):
    """An ``annx.Index`` whose labels are the framework's ids.

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
        self._index = self.res = None

    def setup(self, dtype, max_pts, ndims):
        self._index = annx.Index(ndims, self._metric, **self._params)

    def insert(self, X, ids):
        self._index.add(X, labels=ids.astype(np.int64), num_threads=self._threads)

    def delete(self, ids):
        self._index.remove(ids.astype(np.int64), num_threads=self._threads)

    def replace(self, X, ids):
        labels = ids.astype(np.int64)
        self._index.add(X, labels=labels, upsert=True, num_threads=self._threads)

    def set_query_arguments(self, query_args):
        self._query = dict(query_args)

    def query(self, X, k):
        self.res = self._index.search(X, k, num_threads=self._threads, **self._query).labels

    def get_results(self):
        return self.res

    def __str__(self):
        return f"annx({self._params}, {self._query})"
