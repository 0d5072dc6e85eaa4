"""Nearest neighbours for scikit-learn: an estimator, and a transformer for pipelines."""

from __future__ import annotations

from annx.integrations.sklearn._neighbors import AnnxNeighbors, knn_graph
from annx.integrations.sklearn._transformer import AnnxTransformer

__all__ = ["AnnxNeighbors", "AnnxTransformer", "knn_graph"]
