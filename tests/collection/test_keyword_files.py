"""Files of the keyword index: crashes, damage, readers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tantivy")

from keyword_index import one, put, rows

from annx.collection import TextField, _text_files
from annx.errors import RebuildWarning


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
