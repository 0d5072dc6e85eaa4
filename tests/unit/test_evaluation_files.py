"""Files of runs, judgements and collections: they come back, and errors name the line."""

from __future__ import annotations

import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annx import FormatError, ParameterError
from annx.evaluation import (
    read_beir,
    read_qrels,
    read_run,
    write_beir,
    write_qrels,
    write_run,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.split() == [text] and not text.startswith("\ufeff")
)
QRELS = st.dictionaries(
    NAMES, st.dictionaries(NAMES, st.integers(-2, 4), min_size=1), min_size=1, max_size=5
)
SCORES = st.floats(allow_nan=False, allow_infinity=False)
RUNS = st.dictionaries(NAMES, st.dictionaries(NAMES, SCORES, min_size=1), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.mark.parametrize("name", ["x.qrels", "x.qrels.gz"])
@pytest.mark.parametrize("format", ["trec", "beir"])
@given(qrels=QRELS)
def test_judgements_come_back(folder, name, format, qrels):
    write_qrels(folder / name, qrels, format=format)
    assert read_qrels(folder / name) == qrels


@pytest.mark.parametrize("name", ["x.run", "x.run.gz"])
@given(run=RUNS)
def test_runs_come_back(folder, name, run):
    write_run(folder / name, run, tag="me")
    assert read_run(folder / name) == run


def test_a_run_is_written_as_trec_has_it(tmp_path):
    write_run(tmp_path / "x", {"q": {"b": 0.5, "a": 2.0, "c": 0.5}}, tag="bm25")
    lines = (tmp_path / "x").read_text().splitlines()
    assert lines == ["q Q0 a 1 2.0 bm25", "q Q0 b 2 0.5 bm25", "q Q0 c 3 0.5 bm25"]
    write_qrels(tmp_path / "y", {"q": {"a": 2}})
    assert (tmp_path / "y").read_text() == "q 0 a 2\n"


def test_what_others_write_is_read(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\xef\xbb\xbfq1\t0\td1\t1\r\n\r\n  q1  0  d2   -1 \r\n")
    assert read_qrels(path) == {"q1": {"d1": 1, "d2": -1}}
    path.write_text("query-id\tcorpus-id\tscore\nq 1\td 1\t2\n")
    assert read_qrels(path) == {"q 1": {"d 1": 2}}
    path.write_text("q1 Q0 d1 7 1e3 tag\nq1 0 d2 0 -2 x\n")
    assert read_run(path) == {"q1": {"d1": 1000.0, "d2": -2.0}}


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("q 0 d 1\nq 0 d\n", 2, "got 3 fields"),
        ("q 0 d 1 x\n", 1, "got 5 fields"),
        ("q 0 d one\n", 1, "whole number as relevance, got 'one'"),
        ("q 0 d 1.5\n", 1, "whole number"),
        ("q 0 d 1\n\nq 0 d 0\n", 3, "'d' is judged twice for 'q'"),
        ("query-id\tcorpus-id\tscore\nq d 1\n", 2, "got 1 fields"),
        (b"q 0 d 1\nq 0 \xff 1\n", 2, "UTF-8"),
    ],
)
def test_a_wrong_judgement_names_its_line(tmp_path, text, line, message):
    path = tmp_path / "x.qrels"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FormatError, match=f"{re.escape(str(path))}:{line}: .*{message}"):
        read_qrels(path)


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("q Q0 d 1 0.5\n", 1, "got 5 fields"),
        ("q Q0 d 1 0.5 t\nq Q0 e 1 high t\n", 2, "finite number as score, got 'high'"),
        ("q Q0 d 1 nan t\n", 1, "finite"),
        ("q Q0 d 1 inf t\n", 1, "finite"),
        ("q Q0 d 1 0.5 t\nq Q0 d 2 0.4 t\n", 2, "'d' stands twice for 'q'"),
    ],
)
def test_a_wrong_run_names_its_line(tmp_path, text, line, message):
    path = tmp_path / "x.run"
    path.write_text(text)
    with pytest.raises(FormatError, match=f"{re.escape(str(path))}:{line}: .*{message}"):
        read_run(path)


def test_files_that_are_not_whole(tmp_path):
    (tmp_path / "empty").write_text("\n")
    for read in (read_run, read_qrels):
        with pytest.raises(FormatError, match="got none"):
            read(tmp_path / "empty")
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "missing")
    packed = gzip.compress(b"q 0 d 1\n" * 1000)
    for damaged in (packed[:-20], packed[:30] + b"\0" + packed[31:], b"q 0 d 1\n"):
        (tmp_path / "x.gz").write_bytes(damaged)
        with pytest.raises(FormatError, match=r"x\.gz:\d+: "):
            read_qrels(tmp_path / "x.gz")


@pytest.mark.parametrize("name", ["", "two words", "line\nbreak", " x", 7])
def test_names_that_would_not_come_back_are_refused(tmp_path, name):
    path = tmp_path / "x"
    path.write_text("before")
    for write in (
        lambda: write_qrels(path, {"q": {"d": 1, name: 1}}),
        lambda: write_qrels(path, {name: {"d": 1}}),
        lambda: write_run(path, {"q": {"d": 1.0, name: 1.0}}),
        lambda: write_run(path, {"q": {"d": 1.0}}, tag=name),
    ):
        with pytest.raises(ParameterError, match="without white space"):
            write()
    with pytest.raises(ParameterError, match="finite"):
        write_run(path, {"q": {"d": float("nan")}})
    with pytest.raises(ParameterError, match="tabs"):
        write_qrels(path, {"q\t": {"d": 1}}, format="beir")
    with pytest.raises(ParameterError, match="format"):
        write_qrels(path, {"q": {"d": 1}}, format="csv")
    assert path.read_text() == "before" and [each.name for each in tmp_path.iterdir()] == ["x"]


CORPUS = {"d1": {"title": "Roofs", "text": "a lap of shingles"}, "d 2": {"title": "", "text": ""}}
QUERIES = {"q1": "roof", "q2": "meal"}


@given(texts=st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_a_collection_comes_back(folder, texts):
    corpus = {name: {"title": name, "text": text, "year": 1999} for name, text in texts.items()}
    qrels = {name: {name: 1} for name in texts}
    write_beir(folder / "beir", corpus, texts, qrels, split="dev")
    found = read_beir(folder / "beir", "dev")
    assert found == (corpus, texts, qrels)


def test_packed_files_and_queries_of_another_split(tmp_path):
    write_beir(tmp_path, CORPUS, QUERIES, {"q1": {"d1": 1, "d 2": 0}})
    path = tmp_path / "corpus.jsonl"
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    found = read_beir(tmp_path)
    assert found.corpus == CORPUS
    assert found.queries == {"q1": "roof"} and found.qrels == {"q1": {"d1": 1, "d 2": 0}}


@pytest.mark.parametrize(
    "file, line, message",
    [
        ("corpus.jsonl", "{", "expected JSON"),
        ("corpus.jsonl", "[" * 100_000, "expected JSON"),
        ("corpus.jsonl", "[1]", "JSON object"),
        ("corpus.jsonl", json.dumps({"_id": 3, "text": "x"}), "'_id' to be text"),
        ("queries.jsonl", json.dumps({"_id": "q9"}), "'text' to be text"),
        ("queries.jsonl", json.dumps({"_id": "q1", "text": "x"}), "'q1' stands twice"),
    ],
)
def test_a_wrong_line_of_a_collection_is_named(tmp_path, file, line, message):
    write_beir(tmp_path, CORPUS, QUERIES, {"q1": {"d1": 1}})
    with open(tmp_path / file, "a") as out:
        out.write(line + "\n")
    with pytest.raises(FormatError, match=rf"{file}:3: .*{message}"):
        read_beir(tmp_path)


def test_judgements_of_what_is_not_there(tmp_path):
    for qrels, missing in (({"q7": {"d1": 1}}, "q7"), ({"q1": {"d7": 1}}, "d7")):
        with pytest.raises(ParameterError, match=missing):
            write_beir(tmp_path, CORPUS, QUERIES, qrels)
        write_beir(tmp_path, CORPUS, QUERIES, {"q1": {"d1": 1}})
        write_qrels(tmp_path / "qrels" / "test.tsv", qrels, format="beir")
        with pytest.raises(FormatError, match=rf"test\.tsv: .*{missing}"):
            read_beir(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_beir(tmp_path, "train")
    with pytest.raises(ParameterError, match="text of document 'd'"):
        write_beir(tmp_path, {"d": {"title": "x"}}, {}, {})
