"""Snippets of texts, with the words that were found."""

from __future__ import annotations

import pytest

pytest.importorskip("tantivy")

from keyword_index import one, put, rows

from annx.collection import Highlight, TextField, TextQuery
from annx.collection._snippets import within
from annx.errors import ParameterError


def test_snippets_mark_what_was_found(open_in):
    keywords = open_in(fields={"t": TextField(language="en"), "u": TextField()})
    document = {"t": "Zażółć 漢字 <i>Engineers</i> & friends", "u": "engines enginers"}
    put(keywords, {0: document})

    def mark(query, **style):
        return keywords.snippets(query, [document], Highlight(**style))[0]

    assert mark("engineering") == {
        "t": "Zażółć 漢字 &lt;i&gt;<b>Engineers</b>&lt;/i&gt; &amp; friends"
    }
    style = {"before": "[", "after": "]", "escape": False}
    assert mark("漢", **style)["t"].startswith("Zażółć [漢]字 <i>")
    query = TextQuery("engineers", fuzzy=1)
    assert mark(query, **style)["u"] == "engines [enginers]"
    query = TextQuery("engin", prefix=True)
    assert mark(query, **style)["u"] == "[engines] [enginers]"
    assert list(mark(query, fields=["u"], **style)) == ["u"]
    assert mark(TextQuery("u:engines", query_syntax=True), **style)["u"] == "[engines] enginers"
    assert mark("nothing") == {}
    with pytest.raises(ParameterError):
        mark("x", fields=["no"])


def test_snippets_are_the_part_that_answers(open_in):
    text = "filler words " * 500 + "the needle here " + "more words " * 500
    keywords = one(open_in, text)
    (found,) = keywords.snippets("needle", [{"t": text}], Highlight(max_chars=60))
    assert "<b>needle</b>" in found["t"] and len(found["t"]) <= 60 + len("<b></b>")


def test_edits_are_counted_as_tantivy_counts(open_in, rng):
    words = ["".join(rng.choice(list("abcd"), rng.integers(1, 8))) for _ in range(300)]
    keywords = one(open_in, *words)
    for asked in words[:20]:
        if len(asked) < 6:
            continue
        for prefix in (False, True):
            found = rows(keywords, TextQuery(asked, fuzzy=2, prefix=prefix), 1000)
            wanted = [row for row, word in enumerate(words) if within(asked, word, 2, prefix)]
            assert found == wanted
