"""``annx collection`` on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import annx

pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner

from annx.cli._app import cli


def run(*words, status=0):
    result = CliRunner().invoke(cli, ["collection", *map(str, words)])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def folder(tmp_path):
    lines = [
        {"docno": f"d{n}", "vector": [n, 1], "city": ["Oslo", "Rome"][n % 2]} for n in range(20)
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = ["--dim", 2, "--rename", "docno=id"]
    run("import", tmp_path / "c", tmp_path / "in.jsonl", *words)
    return tmp_path / "c"


def test_from_files_to_answers(tmp_path, folder):
    np.save(tmp_path / "q.npy", np.array([[5.0, 1.0]]))
    words = ("search", folder, "--vector", tmp_path / "q.npy", "-k", 2)
    assert run(*words).stdout.splitlines()[0] == "1\t0\td5"
    found = run(*words, "--json", "--filter", '{"city": "Oslo"}').stdout.splitlines()
    assert {json.loads(line)["id"] for line in found} == {"d4", "d6"}
    assert json.loads(run("info", folder, "--json").stdout)["documents"] == 20
    assert "2 x l2" in run("info", folder).stdout
    assert run("check", folder).stdout == "all is well\n"
    out = tmp_path / "out.jsonl"
    run("export", folder, out, "--filter", '{"city": "Rome"}', "--no-vectors")
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"id": f"d{n}", "city": "Rome"} for n in range(1, 20, 2)
    ]
    assert "10 documents" in run("import", folder, out).stdout


def test_mistakes_are_one_line(tmp_path, folder):
    np.save(tmp_path / "empty.npy", np.empty((0, 2)))
    for words in (
        ("info", tmp_path / "none"),
        ("search", folder, "--vector", tmp_path / "in.jsonl"),
        ("search", folder, "--vector", tmp_path / "empty.npy"),
        ("search", folder, "--filter", "{"),
        ("search", folder, "--filter", "[]"),
        ("import", folder, tmp_path / "in.jsonl"),  # no id
        ("import", folder, tmp_path / "in.jsonl", "--dim", 3),
        ("import", folder, tmp_path / "in.jsonl", "--rename", "x"),
    ):
        assert run(*words, status=1).stderr.startswith("Error: ")


def test_check_finds_what_is_wrong(folder):
    with annx.Collection.open(folder) as collection:
        part = collection._view.store.parts["vector:vector"]
        part.index.remove([3])
        part._pending += 1
        collection.upsert({"id": "later"})
    assert "1 rows are missing" in run("check", folder, status=1).stdout
