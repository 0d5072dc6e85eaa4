"""The command line, from files to answers and from mistakes to one-line errors."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest

import annx

pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner

from annx import datasets
from annx.cli import _sample
from annx.cli._app import cli

rng = np.random.default_rng(0)
BASE = rng.standard_normal((300, 16), dtype=np.float32)
QUERIES = BASE[:4] + 0.01


def run(*words, status=0):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == status, result.output
    if status:
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def files(tmp_path):
    """A base, queries, and an index over the base."""
    np.save(tmp_path / "base.npy", BASE)
    np.save(tmp_path / "query.npy", QUERIES)
    index = annx.Index(16)
    index.add(BASE)
    index.save(tmp_path / "x.annx")
    return tmp_path


@pytest.mark.parametrize("name", ["v.npy", "v.fvecs", "v.npz", "v.hdf5", "v.parquet"])
def test_build_reads_every_format(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".npz"):
        np.savez(path, BASE)
    elif name.endswith(".hdf5"):
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["train"] = BASE
            file["test"] = QUERIES
    elif name.endswith(".parquet"):
        arrow = pytest.importorskip("pyarrow")
        import pyarrow.parquet

        pyarrow.parquet.write_table(arrow.table({"v": list(BASE)}), path)
    else:
        datasets.write(path, BASE)
    said = run("build", path, tmp_path / "out.annx").stdout
    assert said.startswith("out.annx: 300 vectors of 16 (l2, f32)")
    loaded = annx.load(tmp_path / "out.annx")
    np.testing.assert_array_equal(loaded.search(BASE[:5], 1).labels[:, 0], range(5))


def test_build_passes_its_options_on(files):
    labels = np.arange(1000, 1300)[:, None]
    np.save(files / "labels.npy", labels)
    options = ["--metric=cosine", "--codec=f16", "--M=8", "--ef-construction=50", "--seed=3"]
    out = files / "out.annx"
    words = [*options, "--labels", files / "labels.npy", "--json"]
    said = json.loads(run("build", files / "base.npy", out, *words).stdout)
    index = annx.load(out)
    assert (said["rows"], said["metric"], said["codec"]) == (300, "cosine", "f16")
    assert said["bytes"] == out.stat().st_size
    assert (index.M, index.ef_construction, index.seed, 1299 in index) == (8, 50, 3, True)


@pytest.mark.parametrize("codec", ["turbo", "sq10", "sq4"])
def test_build_takes_codes_of_every_kind(files, codec):
    said = json.loads(
        run("build", files / "base.npy", files / "y.annx", "--codec", codec, "--json").stdout
    )
    # With as few dimensions "turbo" does as "auto".
    stored = "f32" if codec == "turbo" else codec
    assert said["codec"] == annx.load(files / "y.annx").codec == stored


def test_build_of_packed_bits(tmp_path):
    np.save(tmp_path / "bits.npy", rng.integers(0, 256, (50, 4)).astype(np.uint8))
    run("build", tmp_path / "bits.npy", tmp_path / "x.annx", "--metric", "hamming")
    assert annx.load(tmp_path / "x.annx").dim == 32


def test_search_prints_tab_separated_when_piped(files):
    lines = run("search", files / "x.annx", files / "query.npy", "-k", 2).stdout.splitlines()
    rows = [line.split("\t") for line in lines]
    assert len(rows) == 8
    assert [row[:3] for row in rows[::2]] == [[str(i), "1", str(i)] for i in range(4)]
    assert float(rows[0][3]) == pytest.approx(16e-4, rel=0.05)


def test_search_json_leaves_padding_out(tmp_path, files):
    index = annx.Index(16)
    index.add(BASE[:3])
    index.save(tmp_path / "small.annx")
    said = run("search", tmp_path / "small.annx", files / "query.npy", "--json").stdout
    records = [json.loads(line) for line in said.splitlines()]
    assert [record["query"] for record in records] == [0, 1, 2, 3]
    assert sorted(records[0]["labels"]) == [0, 1, 2] and len(records[0]["distances"]) == 3


@pytest.mark.parametrize("name", ["hits.npy", "hits.ivecs", "hits.npz"])
@pytest.mark.parametrize("how", ["--exact", "--ef-search=50"])
def test_search_writes_files(files, name, how):
    out = files / name
    said = run("search", files / "x.annx", files / "query.npy", "-k", 3, "--out", out, how).stdout
    assert said == f"{name}: 3 labels for each of 4 queries\n"
    got = datasets.read(out, key="labels" if name.endswith("npz") else None)
    np.testing.assert_array_equal(got, annx.load(files / "x.annx").exact_search(QUERIES, 3).labels)


def test_search_takes_the_queries_of_a_benchmark_file(files):
    with pytest.importorskip("h5py").File(files / "b.hdf5", "w") as file:
        file["train"], file["test"] = BASE, QUERIES
    said = run("search", files / "x.annx", files / "b.hdf5", "-k", 1).stdout
    assert len(said.splitlines()) == 4


def test_info_of_an_index(files):
    found = json.loads(run("info", files / "x.annx", "--json").stdout)
    assert (found["n"], found["dim"], found["metric"]) == (300, 16, "l2")
    text = run("info", files / "x.annx").stdout
    assert "memory.total" in text and "graph.mean_degree" in text


def test_info_of_vectors_and_of_the_installation(files):
    found = json.loads(run("info", files / "base.npy", "--json").stdout)
    assert (found["shape"], found["dtype"]) == ([300, 16], "float32")
    found = json.loads(run("info", "--json").stdout)
    assert found["annx"] == annx.__version__ and found["backend"] == annx.backend().name


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["info", "missing.annx"], 2, "does not exist"),
        (["info", "base.npy", "--wrong"], 2, "No such option"),
        (["info", "foreign.annx"], 1, "Error: "),
        (["info", "damaged.npy"], 1, "Error: damaged.npy: "),
        (["build", "base.npy", "out.annx", "--metric", "l3"], 2, "l3"),
        (["build", "base.npy", "out.annx", "--M", "1"], 1, "M"),
        (["build", "base.csv", "out.annx"], 1, "base.csv: expected a name ending in .npy"),
        (["build", "one.npy", "out.annx"], 1, "one.npy: expected shape (n, d), got (3,)"),
        (["build", "nan.npy", "out.annx"], 1, "row 2"),
        (["build", "base.npy", "no/such/out.annx"], 2, "no/such: no such folder"),
        (["build", "base.npy", "folder"], 2, "is a directory"),
        (["search", "x.annx", "wide.npy"], 1, "expected dim 16, got 3"),
        (["search", "x.annx", "query.npy", "-k", "0"], 2, "-k"),
        (["search", "x.annx", "query.npy", "--out", "a.txt"], 1, "a.txt: expected .npy"),
        (["bench", "folder"], 1, "query"),
        (["demo", "--data", "nowhere"], 1, "nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(files, monkeypatch, words, status, said):
    monkeypatch.chdir(files)
    np.save("wide.npy", np.zeros((2, 3), np.float32))
    np.save("one.npy", np.zeros(3, np.float32))
    np.save("nan.npy", np.where(np.arange(300)[:, None] == 2, np.nan, BASE))
    (files / "base.csv").write_text("1,2\n")
    (files / "foreign.annx").write_bytes(b"something else" * 100)
    (files / "damaged.npy").write_bytes((files / "base.npy").read_bytes()[:-5])
    (files / "folder").mkdir()
    np.save(files / "folder" / "base.npy", BASE)
    result = run(*words, status=status)
    assert said in result.stderr
    if status == 1:
        assert result.stderr.count("\n") == 1
    assert not (files / "out.annx").exists()


def test_bench_prints_tables_and_writes_file_and_page(files):
    out = files / "result.jsonl"
    options = ["--metric=l2", "--ef=10,40", "--queries=3", "--alone"]
    said = run("bench", files, *options, "--out", out).stdout
    assert "annx auto" in said and "300 x 16 float32, 3 queries" in said
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert records[0]["dataset"]["rows"] == 300 and records[-1]["record"] == "end"
    assert "annx auto" in (files / "result.html").read_text()
    assert "result.html" in said
    assert run("bench", files, *options, "--out", out).stdout == said, "read, not repeated"
    assert "another run" in run("bench", files, *options, "-k3", "--out", out, status=1).stderr
    assert "0 of" in run("bench", "--compare", out, out).stdout
    worse = files / "worse.jsonl"
    records = [r | {"qps": r["qps"] / 9} if r["record"] == "timing" else r for r in records]
    worse.write_text("".join(json.dumps(record) + "\n" for record in records))
    result = CliRunner().invoke(cli, ["bench", "--compare", str(out), str(worse)])
    assert result.exit_code == 1
    assert "QPS at recall 0.90" in result.stdout and "worse" in result.stdout
    said = run("bench", "--compare", worse, out, "--json").stdout
    assert {json.loads(line)["verdict"] for line in said.splitlines()} >= {"better"}


def test_bench_compares_presets_and_says_who_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("annx._bench.comparison.installed", lambda name: name == "annx")
    options = ["--rows=400", "--queries=5", "--ef=10", "--rounds=1"]
    said = run("bench", *options).stdout
    assert all(f"annx {preset}" in said for preset in ("auto", "compact", "turbo"))
    assert "hnswlib, symqg, vsag, " in said and "left out: not installed" in said
    assert "not installed" not in run("bench", *options, "--alone", "--out=a.jsonl").stdout
    said = run("bench", *options, "--alone", "--codec=f16", "--out=b.jsonl").stdout
    assert "annx f16" in said and "annx auto" not in said


def test_bench_takes_one_file_of_vectors(files, monkeypatch):
    monkeypatch.chdir(files)
    options = ["--metric=cosine", "--ef=10", "--rounds=1", "--alone"]
    assert "270 x 16 float32, 30 queries" in run("bench", "base.npy", *options).stdout
    assert (files / "bench-base.jsonl").exists() and (files / "bench-base.html").exists()


def test_bench_json_is_one_record_a_line(files, monkeypatch):
    monkeypatch.chdir(files)
    options = ["--metric=cosine", "--rounds=1", "--ef=10", "--alone", "--json"]
    before = sorted(files.iterdir())
    records = [json.loads(line) for line in run("bench", files, *options).stdout.splitlines()]
    kinds = [record["record"] for record in records]
    assert kinds[0] == "run" and kinds[-1] == "end"
    assert {"build", "recalls", "timing", "calls"} <= set(kinds)
    assert sorted(files.iterdir()) == before


def test_bench_needs_data_a_metric_and_numbers(files):
    assert "pass --metric" in run("bench", files, status=1).stderr
    assert "not a list of numbers" in run("bench", files, "--ef", "a", status=2).stderr
    assert "sift-128-euclidean" in run("bench", files / "nothing", status=2).stderr
    assert "not both" in run("bench", files, "--generate=norms", status=2).stderr
    assert "expected a peer of" in run("bench", "--peer=x", status=1).stderr


@pytest.fixture
def sample(tmp_path):
    """A folder like the sample's, of 200 documents and 5 queries."""
    folder = tmp_path / "sample"
    folder.mkdir()
    base = rng.integers(-127, 128, (200, 16)).astype(np.int8)
    np.save(folder / "base.npy", base)
    np.save(folder / "query.npy", base[:5])
    docs = [{"id": f"d{i}", "words": f"word {i}", "definition": f"text {i}"} for i in range(200)]
    queries = [{"text": f"Question {i} about cats", "relevant": f"d{i}"} for i in range(5)]
    for name, records in (("docs", docs), ("queries", queries)):
        text = "\n".join(map(json.dumps, records)) + "\n"
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_demo_compares_reports_and_shows_results(sample, tmp_path):
    report = tmp_path / "r.html"
    said = run("demo", "--data", sample, "--rounds", 1, "--report", report).stdout
    assert "recall@10 and queries per second" in said
    assert '"Question 0 about cats"\n  1. 1.000  word 0: text 0  <- the definition' in said
    assert report.resolve().as_uri() in said
    assert "annx i8 keeps the sample's vectors as they are shipped" in said
    assert "Question 4 about cats" in report.read_text(encoding="utf-8")


def test_demo_with_a_query_only_shows_results(sample):
    said = run("demo", "--data", sample, "--query", "CATS question 3", "-k", 2).stdout
    assert said.count("Question") == 1 and "1. 1.000  word 3: text 3" in said
    said = run("demo", "--data", sample, "--query", "cats", "--json").stdout
    records = [json.loads(line) for line in said.splitlines()]
    assert len(records) == 3 and records[0]["hits"][0]["words"] == "word 0"
    said = run("demo", "--data", sample, "--query", "dogs", status=1).stderr
    assert "none of the 5 queries contains 'dogs'" in said


@pytest.mark.parametrize("damage", ["missing", "truncated", "short", "foreign"])
def test_demo_says_what_is_wrong_with_its_data(sample, damage):
    docs = sample / "docs.jsonl.gz"
    content = docs.read_bytes()
    if damage == "missing":
        docs.unlink()
    else:
        lines = gzip.decompress(content).splitlines(keepends=True)
        damaged = {
            "truncated": content[:-20],
            "short": gzip.compress(b"".join(lines[:7])),
            "foreign": gzip.compress(b'{"a": 1}\n'),
        }
        docs.write_bytes(damaged[damage])
    assert "docs" in run("demo", "--data", sample, status=1).stderr


def test_shipped_sample_is_whole():
    if not _sample.DEFAULT.is_dir():
        pytest.skip("not in a clone of annx")
    sample = _sample.load(_sample.DEFAULT)
    assert sample.data.base.shape == (20_000, 384) and len(sample.queries) == 1_000
    ids = {document.id for document in sample.documents}
    assert all(query.relevant in ids for query in sample.queries)


def test_without_click_one_line_names_the_extra():
    code = "import sys; sys.modules['click'] = None; from annx.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "annx: click is not installed: pip install 'annx[cli]'\n"


def test_help_lists_every_command():
    said = run("--help").stdout
    assert all(word in said for word in ("bench", "build", "demo", "eval", "info", "search"))
    assert annx.__version__ in run("--version").stdout


def test_check_says_what_is_wrong_where(tmp_path):
    path = tmp_path / "i.annx"
    index = annx.Index(4, codec="f32")
    index.add(np.eye(4, dtype=np.float32))
    index.save(path)
    done = CliRunner().invoke(cli, ["check", str(path)])
    assert done.exit_code == 0 and "i.annx: all of it is as it was written" in done.output
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    done = CliRunner().invoke(cli, ["check", str(path)])
    assert done.exit_code == 1 and "section 'rows': checksum of bytes" in done.output
    done = CliRunner().invoke(cli, ["check", "--json", str(path)])
    report = json.loads(done.output)
    assert done.exit_code == 1 and not report["ok"] and report["damaged"][0]["section"] == "rows"
    path.write_bytes(b"")
    assert "the file is empty" in CliRunner().invoke(cli, ["check", str(path)]).output
