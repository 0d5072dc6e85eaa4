"""Scores of the metrics made relevance from 0 to 1."""

from __future__ import annotations


def _cosine(score: float) -> float:
    return min(max((1 + score) / 2, 0.0), 1.0)


def _dot_product(score: float) -> float:
    return (1 + score / (1 + abs(score))) / 2


def _squared_distance(score: float) -> float:
    return 1 / (1 + max(-score, 0.0))


#: By metric: from a score, which is higher for what is nearer, to 0 to 1.
RELEVANCE = {"cosine": _cosine, "ip": _dot_product, "l2": _squared_distance}
