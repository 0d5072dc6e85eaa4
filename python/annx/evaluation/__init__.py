"""Judge results: by relevance, by the true nearest neighbours, and one system by another.

Relevance, what people judged, and recall of an approximate search, the share of the true
nearest neighbours that it found, are different things and have different functions:
`evaluate` and `neighbor_recall`. Measures are those of ir-measures, significance is SciPy's:
``pip install 'annx[evaluation]'``. Files are read and written without either.
"""

from __future__ import annotations

from annx.evaluation._beir import BeirDataset, read_beir, write_beir
from annx.evaluation._compare import Comparison, Latency, Query, compare, compare_runs
from annx.evaluation._measures import Evaluation, Qrels, Run, evaluate
from annx.evaluation._neighbors import neighbor_recall
from annx.evaluation._significance import Difference, paired_difference
from annx.evaluation._trec import read_qrels, read_run, write_qrels, write_run

__all__ = [
    "BeirDataset",
    "Comparison",
    "Difference",
    "Evaluation",
    "Latency",
    "Qrels",
    "Query",
    "Run",
    "compare",
    "compare_runs",
    "evaluate",
    "neighbor_recall",
    "paired_difference",
    "read_beir",
    "read_qrels",
    "read_run",
    "write_beir",
    "write_qrels",
    "write_run",
]
