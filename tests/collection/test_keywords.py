"""Keyword search against BM25 computed one document at a time."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tantivy")

import reference_bm25 as bm25

from annx.collection import Highlight, TextField, TextQuery, _text_files
from annx.collection._derived import Change
from annx.collection._keywords import Keywords
from annx.collection._snippets import within
from annx.errors import ParameterError, RebuildWarning, SchemaError

FIELDS = {"title": TextField(), "body": TextField()}
WORDS = "the a of red blue green car house tree river fast slow old new under over".split()


@pytest.fixture
def texts(rng):
    """Rows and documents, some without a field, some with none."""

    def some(length):
        return " ".join(rng.choice(WORDS, length))

    made = {}
    for row in range(300):
        document = {"title": some(rng.integers(0, 4)), "body": some(rng.integers(0, 30))}
        if row % 7 == 0:
            del document["title"]
        made[row] = document
    return made


@pytest.fixture
def open_in(tmp_path):
    """A function that opens the keyword index in a folder; all are closed afterwards."""
    opened = []

    def make(name="text", fields=FIELDS, **options):
        opened.append(Keywords(tmp_path / name, fields, **options))
        return opened[-1]

    yield make
    for keywords in opened:
        keywords.close()


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


@pytest.mark.parametrize(
    "options",
    [
        {"match": "some"},
        {"fuzzy": 3},
        {"slop": 1},
        {"match": "phrase", "prefix": True},
        {"match": "phrase", "fuzzy": 1},
        {"query_syntax": True, "prefix": True},
    ],
)
def test_refuses_options_that_mean_nothing(options):
    with pytest.raises(ParameterError):
        TextQuery("x", **options)


def test_refuses_what_is_no_query(open_in):
    keywords = one(open_in, "x")
    for query in (5, TextQuery("x", fields=["no"]), TextQuery("x", fields={"t": 0}), "\ud800"):
        with pytest.raises(ParameterError):
            keywords.search(query, 3)
    for settings in ({"language": "klingon"}, {"boost": 0}, {"boost": "2"}):
        with pytest.raises(SchemaError):
            TextField(**settings)


def test_names_of_fields_may_be_any_text(open_in):
    names = ["with space", "a:b", "_row", "-", "é", '"', "x" * 300]
    keywords = open_in(fields={name: TextField(language="en") for name in names})
    put(keywords, {row: {name: f"word{row}"} for row, name in enumerate(names)})
    for row, name in enumerate(names):
        assert rows(keywords, TextQuery(f"word{row}", fields=[name])) == [row]


# Files


def test_opens_as_it_was_committed(open_in, texts):
    keywords = open_in()
    put(keywords, texts, 7)
    keywords.commit()
    wanted = keywords.search("red car", 50)
    put(keywords, {0: {"title": "red car"}}, 8)  # not committed
    keywords.close()
    again = open_in()
    assert again.sequence == 7
    np.testing.assert_array_equal(again.search("red car", 50), wanted)
    again.clear()
    assert (again.sequence, rows(again, "red car")) == (0, [])
    again.commit()


def files(folder):
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "empty"])
def test_damage_to_any_file_is_seen(open_in, texts, tmp_path, damage):
    keywords = open_in()
    put(keywords, texts, 7)
    keywords.search("red", 1)
    put(keywords, {0: {"title": "changed"}, 1: None}, 8)
    keywords.commit()
    keywords.close()
    whole = tmp_path / "text"
    # Merged segments that are not deleted yet are of no interest.
    names = [*_text_files._files(whole), "meta.json", "reflects.json"]
    assert any(name.endswith(".del") for name in names)
    for name in names:
        shutil.copytree(whole, tmp_path / name)
        path = tmp_path / name / name
        content = bytearray(path.read_bytes())
        if damage == "delete":
            path.unlink()
        elif damage == "flip":
            content[len(content) // 3] ^= 4
            path.write_bytes(content)
        else:
            path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
        with pytest.warns(RebuildWarning):
            opened = open_in(name)
        assert opened.sequence == 0
        put(opened, texts, 9)
        assert rows(opened, "red")


def test_a_crash_before_or_after_a_commit(open_in, tmp_path):
    """The mark is written first; either commit is told by it."""
    keywords = one(open_in, "red")
    keywords.commit()
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "text", old)
    put(keywords, {1: {"t": "red"}}, 2)
    keywords.commit()
    keywords.close()
    mark = tmp_path / "text" / "reflects.json"
    shutil.copy(mark, old)
    fields = {"t": TextField()}
    before, after = open_in("old", fields), open_in(fields=fields)
    assert (before.sequence, rows(before, "red")) == (1, [0])
    assert (after.sequence, rows(after, "red")) == (2, [0, 1])
    put(after, {2: {"t": "red"}}, 3)
    after.commit()
    after.commit()
    after.apply([], 4)
    after.commit()
    after.close()
    assert open_in(fields=fields).sequence == 4


def test_a_commit_that_was_broken_off_leaves_no_file_in_the_way(open_in, tmp_path):
    """Killed after it wrote which rows are deleted, and before it was a commit."""
    keywords = one(open_in, "red", "red")
    keywords.commit()
    keywords.close()
    shutil.copytree(tmp_path / "text", tmp_path / "whole")
    fields = {"t": TextField()}
    for name in ("whole", "text"):
        again = open_in(name, fields)
        assert again.sequence == 1
        put(again, {0: {"t": "blue"}}, 2)
        assert rows(again, "blue") == [0] and rows(again, "red") == [1]
        again.close()
        if name == "whole":
            (left,) = (tmp_path / "whole").glob("*.del")
            shutil.copy(left, tmp_path / "text")


def test_an_index_older_than_its_mark_is_built_again(open_in, tmp_path):
    """As where files were put back from a copy, all but one."""
    keywords = one(open_in, "red")
    keywords.commit()
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "text", old)
    for sequence in (2, 3):
        put(keywords, {sequence: {"t": "red"}}, sequence)
        keywords.commit()
    shutil.copy(tmp_path / "text" / "reflects.json", old)
    with pytest.warns(RebuildWarning, match="later one"):
        assert open_in("old", fields={"t": TextField()}).sequence == 0


def test_other_settings_build_again(open_in):
    one(open_in, "engineers").commit()

    with pytest.warns(RebuildWarning, match="settings"):
        open_in(fields={"t": TextField(language="en")})


def test_a_reader_leaves_the_folder_alone(open_in, texts, tmp_path):
    keywords = open_in()
    put(keywords, texts, 3)
    keywords.commit()
    before = {p.name: p.stat().st_mtime_ns for p in files(tmp_path / "text")}
    reader = open_in(read_only=True)
    put(reader, {5: {"title": "zebra"}}, 4)
    put(reader, {6: None}, 5)
    reader.commit()
    assert rows(reader, "zebra") == [5]
    assert reader.sequence == 3
    assert rows(keywords, "zebra") == []
    assert {p.name: p.stat().st_mtime_ns for p in files(tmp_path / "text")} == before
    left = Path(shutil.copytree(reader._private.path, tmp_path / ".text-reader-dead"))
    open_in("other")  # of another folder, it sweeps nothing
    keywords.close()
    keywords = open_in()
    assert reader._private.path.exists() and not left.exists()
    reader.clear()
    assert rows(reader, "red") == []
    nothing = open_in("missing", read_only=True)
    put(nothing, {1: {"title": "zebra"}})
    assert rows(nothing, "zebra") == [1]
    assert not (tmp_path / "missing").exists()
    private = reader._private.path
    reader.close()
    assert not private.exists()


def test_readers_in_other_processes(open_in, tmp_path):
    """A reader copies the index while this process commits and merges."""
    keywords = open_in(fields={"t": TextField()})
    put(keywords, {row: {"t": "start"} for row in range(100)}, 1)
    keywords.commit()
    code = """
        import sys, warnings
        warnings.simplefilter("error")
        from pathlib import Path
        from annx.collection import TextField
        from annx.collection._derived import Change
        from annx.collection._keywords import Keywords

        print("ready", flush=True)
        for n in range(15):
            reader = Keywords(Path(sys.argv[1]), {"t": TextField()}, read_only=True)
            reader.apply([Change(999_999, {"t": "start"})], 10**9)
            found = reader.search("start", 200)[0]
            assert 999_999 in found and set(range(100)) <= set(found.tolist()), found
            reader.close()
    """
    run = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "text")]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        sequence = 2
        while process.poll() is None:
            put(keywords, {1000 + sequence: {"t": "more"}}, sequence)
            keywords.commit()
            sequence += 1
    assert process.returncode == 0


# Snippets


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


# Oracle


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
