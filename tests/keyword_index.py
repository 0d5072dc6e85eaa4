"""A keyword index alone, and what its searches have to find."""

from __future__ import annotations

import pytest

from annx.collection import TextField
from annx.collection._derived import Change

FIELDS = {"title": TextField(), "body": TextField()}
WORDS = "the a of red blue green car house tree river fast slow old new under over".split()


def put(keywords, documents, sequence=1):
    keywords.apply([Change(row, document) for row, document in documents.items()], sequence)


def one(open_in, *texts, **field):
    """An index with one field and these texts, rows from 0."""
    keywords = open_in(fields={"t": TextField(**field)})
    put(keywords, {row: {"t": text} for row, text in enumerate(texts)})
    return keywords


def rows(keywords, query, k=100):
    return sorted(keywords.search(query, k)[0].tolist())


def ranked(wanted, k):
    """The k best of a mapping; scores are told apart as float32 can."""
    return sorted(wanted.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


def same(found, wanted, k):
    """Whether rows and scores are a right answer, whichever of nearly equal ones comes first."""
    best = ranked(wanted, k)
    assert len(found[0]) == len(best)
    assert found[1] == pytest.approx([score for _, score in best], rel=1e-5)
    for row, score in zip(*found, strict=True):
        assert score == pytest.approx(wanted[int(row)], rel=1e-5)
