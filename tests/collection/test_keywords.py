"""Keyword search against BM25 computed one document at a time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tantivy")

import reference_bm25 as bm25
from keyword_index import WORDS, one, put, rows, same

from annx.collection import TextField, TextQuery
from annx.collection._derived import Change
from annx.errors import ParameterError


@pytest.mark.parametrize("query", ["red car", "the old house under the river", "car car blue"])
@pytest.mark.parametrize("k", [1, 10, 1000])
def test_scores_are_bm25(open_in, texts, query, k):
    keywords = open_in()
    put(keywords, texts)
    boosts = {"title": 2.5, "body": 1.0}
    # A document without text is none of tantivy's.
    there = {row: document for row, document in texts.items() if any(document.values())}
    wanted = bm25.scores(query, there, boosts)
    same(keywords.search(TextQuery(query, fields=boosts), k), wanted, k)
    same(keywords.search(query, k), bm25.scores(query, there, dict.fromkeys(boosts, 1.0)), k)


def test_boosts_of_fields_are_those_of_queries_without(open_in, texts):
    keywords = open_in(fields={"title": TextField(boost=3), "body": TextField()})
    put(keywords, texts)
    found = keywords.search("red house", 20)
    asked = keywords.search(TextQuery("red house", fields={"title": 3, "body": 1}), 20)
    np.testing.assert_array_equal(found, asked)
    title = keywords.search(TextQuery("red house", fields=["title"]), 500)[0]
    assert title.tolist() and all("title" in texts[row] for row in title.tolist())


@pytest.mark.parametrize("passing", [0, 1, 3, 20, 100, 250, 299, 300])
@pytest.mark.parametrize("k", [1, 10, 400])
def test_filtered_is_the_whole_ranking_without_the_rest(open_in, texts, rng, passing, k):
    keywords = open_in()
    put(keywords, texts)
    allowed = np.zeros(300, np.bool_)
    allowed[rng.choice(300, passing, replace=False)] = True
    everything, scores = keywords.search("old red car", 1000)
    kept = allowed[everything]
    found = keywords.search("old red car", k, allowed)
    assert found[0].tolist() == everything[kept][:k].tolist()
    assert found[1] == pytest.approx(scores[kept][:k])
    short = keywords.search("old red car", k, allowed[:150])
    assert short[0].tolist() == everything[kept & (everything < 150)][:k].tolist()


def test_filter_that_only_the_worst_pass(open_in):
    """No row that passes is among the first thousands."""
    keywords = open_in(fields={"t": TextField()})
    put(keywords, {row: {"t": "x " + "y " * (row // 50)} for row in range(2000)})
    allowed = np.arange(2000) >= 1900
    found = keywords.search("x", 10, allowed)[0]
    assert found.tolist() == list(range(1900, 1910))


def test_equal_scores_come_in_order_of_rows(open_in):
    keywords = open_in(fields={"t": TextField()})
    for sequence, row in enumerate(reversed(range(100))):
        put(keywords, {row: {"t": "same words"}}, sequence + 1)
        if row % 20 == 0:
            keywords.commit()
    for k in (1, 5, 40, 100):
        assert keywords.search("same", k)[0].tolist() == list(range(k))


def test_a_search_sees_every_change(open_in, rng):
    """Random changes; the index holds what a dict holds, after each of them."""
    keywords = open_in(fields={"t": TextField()})
    model: dict[int, str] = {}
    for sequence in range(1, 40):
        changes = []
        for row in rng.choice(30, rng.integers(1, 6), replace=False).tolist():
            if rng.random() < 0.3:
                model.pop(row, None)
                changes.append(Change(row, None))
            else:
                model[row] = " ".join(rng.choice(WORDS, 3))
                changes.append(Change(row, {"t": model[row]}))
        keywords.apply(changes, sequence)
        if sequence % 3 == 0:
            keywords.apply(changes, sequence)  # replayed
        if sequence % 5 == 0:
            keywords.commit()
            assert keywords.sequence == sequence
        for word in ("red", "the"):
            assert rows(keywords, word) == sorted(r for r, t in model.items() if word in t.split())


def test_changes_that_leave_text_as_it_was_are_skipped(open_in):
    keywords = one(open_in, "red", "blue")
    kept = frozenset(["t"])
    keywords.apply([Change(0, {"t": "not read"}, kept)], 2)
    assert rows(keywords, "red") == [0]
    keywords.commit()
    assert keywords.sequence == 2


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE documents; --",
        'title:(red OR blue) AND -"x"^2 [a TO z] *',
        "a && b || !c ~2 \\",
        "\x00\x01 \u202e",
        '+-=&|><!(){}[]^"~*?:\\/',
    ],
)
def test_operators_in_text_are_text(open_in, text):
    keywords = one(open_in, text, "unrelated zebra")
    words = rows(keywords, text)
    assert 1 not in words
    assert words == ([0] if any(c.isalnum() for c in text) else [])
    for match in ("all", "phrase"):
        assert rows(keywords, TextQuery(text, match=match)) == words
    assert 1 not in rows(keywords, TextQuery(text, fuzzy=2))


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("東京都の天気", "天気"),
        ("weather 🎉 party", "🎉"),
        ("cafe\u0301", "caf\u00e9"),
        ("naïve ÅNGSTRÖM", "ångström"),
        ("mixed漢字text", "mixed"),
        ("สวัสดีครับ", "ครับ"),
        ("x" * 1000 + " end", "end"),
        ("word " * 200_000 + "last", "last"),
    ],
)
def test_finds_text_of_any_script(open_in, text, query):
    keywords = one(open_in, text, "another text")
    assert rows(keywords, query) == [0]


@pytest.mark.parametrize("text", ["", " ", "...", None])
def test_text_without_words_is_no_hit(open_in, text):
    keywords = one(open_in, text, "something")
    assert rows(keywords, text or "") == []
    assert rows(keywords, "something") == [1]


def test_phrases_all_words_and_any(open_in):
    keywords = one(
        open_in, "senior data engineer", "data senior engineer", "engineer of big data", "data"
    )
    assert rows(keywords, "data engineer") == [0, 1, 2, 3]
    assert rows(keywords, TextQuery("data engineer", match="all")) == [0, 1, 2]
    assert rows(keywords, TextQuery("data engineer", match="phrase")) == [0]
    assert rows(keywords, TextQuery("data engineer", match="phrase", slop=1)) == [0, 1]
    assert rows(keywords, TextQuery("engineer", match="phrase")) == [0, 1, 2]


def test_all_words_may_stand_in_different_fields(open_in):
    keywords = open_in()
    put(keywords, {0: {"title": "data", "body": "engineer"}, 1: {"title": "data", "body": "x"}})
    assert rows(keywords, TextQuery("data engineer", match="all")) == [0]


def test_fuzzy_and_prefix(open_in):
    keywords = one(
        open_in, "engineering", "enginering", "neighbour", "nieghbour", "engine", "cat", "cut"
    )
    assert rows(keywords, TextQuery("engineering", fuzzy=1)) == [0, 1]
    assert rows(keywords, TextQuery("neighbour", fuzzy=1)) == [2, 3]
    assert rows(keywords, TextQuery("engin", prefix=True)) == [0, 1, 4]
    assert rows(keywords, TextQuery("cat", fuzzy=2)) == [5, 6]
    assert rows(keywords, TextQuery("ct", fuzzy=2)) == []
    # The word itself before its likes.
    assert keywords.search(TextQuery("engineering", fuzzy=1), 2)[0].tolist() == [0, 1]
    # Words before the last one are whole.
    assert rows(keywords, TextQuery("engin cat", prefix=True)) == [5]


def test_stems_by_language(open_in):
    english = one(open_in, "engineers running", "engineering", "cat", language="en")
    assert rows(english, "engineer run") == [0, 1]
    # What is typed so far may end within a stem, or beyond it.
    assert rows(english, TextQuery("enginee", prefix=True)) == [0, 1]
    assert rows(english, TextQuery("engineerinx", fuzzy=1)) == [1]
    german = open_in("de", fields={"t": TextField(language="german", fold=True)})
    put(german, {0: {"t": "Häuser"}, 1: {"t": "Maus"}})
    assert rows(german, "Haus") == [0]
    assert rows(german, "hauser") == [0]


def test_query_syntax_where_asked_for(open_in):
    keywords = open_in()
    put(keywords, {0: {"title": "red car", "body": "old"}, 1: {"title": "car", "body": "red"}})
    assert rows(keywords, TextQuery("title:red", query_syntax=True)) == [0]
    assert rows(keywords, TextQuery("+car -old", query_syntax=True)) == [1]
    assert rows(keywords, TextQuery('"red car"', query_syntax=True)) == [0]
    with pytest.raises(ParameterError, match="language"):
        keywords.search(TextQuery("title:(", query_syntax=True), 3)


def test_a_long_text_is_a_query(open_in):
    keywords = one(open_in, "needle", *(f"w{i}" for i in range(50)))
    text = " ".join(f"w{i}" for i in range(3000)) + " needle"
    assert 0 in rows(keywords, text)
    with pytest.raises(ParameterError, match="1024"):
        keywords.search(TextQuery(text, match="all"), 3)


def test_names_of_fields_may_be_any_text(open_in):
    names = ["with space", "a:b", "_row", "-", "é", '"', "x" * 300]
    keywords = open_in(fields={name: TextField(language="en") for name in names})
    put(keywords, {row: {name: f"word{row}"} for row, name in enumerate(names)})
    for row, name in enumerate(names):
        assert rows(keywords, TextQuery(f"word{row}", fields=[name])) == [row]


def test_equals_bm25s(open_in):
    """On real text: 3,000 definitions; same words, so the same ranking and scores."""
    bm25s = pytest.importorskip("bm25s")
    path = Path(__file__).parents[2] / "benchmarks" / "data" / "wordnet20k" / "docs.jsonl.gz"
    if not path.exists():
        pytest.skip("not in this archive: benchmarks/data")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["definition"] for line in file][:3000]
    texts = [text for text in texts if text.isascii() and len(bm25.words(text)) <= 40]
    keywords = one(open_in, *texts)
    oracle = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    oracle.index([bm25.words(text) for text in texts], show_progress=False)
    for query in texts[::150]:
        scores = oracle.get_scores(bm25.words(query))
        # tantivy multiplies by k1 + 1, which changes no ranking.
        wanted = {row: float(s) * 2.2 for row, s in enumerate(scores) if s > 0}
        same(keywords.search(query, 20), wanted, 20)
