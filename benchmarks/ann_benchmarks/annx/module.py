"""annx in ann-benchmarks: copy this folder to ann_benchmarks/algorithms/annx."""

import numpy as np

import annx

from ..base.module import BaseANN

METRICS = {"angular": "cosine", "euclidean": "l2", "hamming": "hamming", "ip": "ip", "dot": "ip"}


class Annx(BaseANN):
    """An ``annx.Index``.

    Parameters
    ----------
    metric : str
        ann-benchmarks' name.
    param : dict
        ``codec``, ``M``, ``ef_construction`` and ``seed`` of the index.
    """

    def __init__(self, metric, param):
        self._metric = METRICS[metric]
        self._param = dict(param)
        if self._metric == "hamming":
            self._param.pop("codec", None)
        self._index = None
        self.name = f"annx({self._param})"

    def _rows(self, rows):
        # Bits arrive as one boolean each; annx packs eight to a byte.
        return np.packbits(np.asarray(rows, bool), axis=-1) if self._metric == "hamming" else rows

    def fit(self, X):
        rows = self._rows(X)
        dim = rows.shape[1] * 8 if self._metric == "hamming" else rows.shape[1]
        self._index = annx.Index(dim, self._metric, **self._param)
        self._index.add(rows)

    def set_query_arguments(self, ef_search):
        self._index.ef_search = ef_search
        self.name = f"annx({self._param}, ef_search={ef_search})"

    def query(self, q, n):
        labels = self._index.search(self._rows(q), n).labels[0]
        return labels[labels >= 0]

    def batch_query(self, X, n):
        labels = self._index.search(self._rows(X), n).labels
        self.res = [row[row >= 0] for row in labels]

    def get_additional(self):
        info = annx.backend()
        return {"backend": info.name, "annx_version": annx.__version__}

    def done(self):
        self._index = None
