"""Damaged files: made again where they can be, refused where they cannot, never believed.

``ANNX_FLIPS=3000 pytest tests/collection/test_damage.py`` damages the records as often as that.
"""

from __future__ import annotations

import os
import shutil
import warnings

import numpy as np
import pytest
from collection_model import DIM, Model, kill, opened

import annx

FLIPS = int(os.environ.get("ANNX_FLIPS", "60"))


def grown(folder, seed=0, first=0, count=60):
    """Put documents into a collection; return the model of what is put."""
    rng = np.random.default_rng(seed)
    documents = [
        {"id": f"d{n}", "vector": row, "n": n}
        for n, row in enumerate(rng.integers(-9, 9, (count, DIM)).astype(np.float32), first)
    ]
    with opened(folder, dim=DIM, durability="none") as collection:
        collection.upsert(documents)
    model = Model()
    model.upsert(documents)
    return model


def compare(model, collection):
    model.compare(collection, np.ones(DIM, np.float32))
    assert collection.count({"n": {"$lt": 30}}) == sum(
        each["n"] < 30 for each in model.documents.values()
    )
    assert collection.check() == []


def damage_points(size, rng):
    return sorted({0, 5, size - 1, *rng.integers(0, size, 12).tolist()})


@pytest.mark.parametrize("pattern", ["vector-0.*.annx", "columns.*.bin"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_damaged_derived_file_is_made_again(tmp_path, rng, pattern, read_only):
    folder = tmp_path / "whole"
    model = grown(folder)
    # A second session adds to the file of vectors what has changed.
    with opened(folder) as collection:
        collection.upsert([{"id": "d1", "vector": np.full(DIM, 3, np.float32), "n": 1}])
        collection.delete("d2")
    model.upsert([{"id": "d1", "vector": np.full(DIM, 3, np.float32), "n": 1}])
    model.delete(["d2"])
    (path,) = folder.glob(pattern)
    data = path.read_bytes()
    noticed = 0
    cases = [data[:0], data[: len(data) // 2], bytes(len(data)), b"junk", data + b"\0"]
    for place in damage_points(len(data), rng):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        cases.append(bytes(flipped))
    for number, case in enumerate(cases):
        copy = tmp_path / f"copy {number}"
        shutil.copytree(folder, copy)
        (copy / path.name).write_bytes(case)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with opened(copy, read_only=read_only) as collection:
                compare(model, collection)
        # Not where nothing is lost: what follows the end may have been cut off, and the file
        # says twice how far it goes.
        assert [each.category for each in seen] in ([annx.RebuildWarning], [])
        noticed += len(seen)
        if not read_only:
            with opened(copy) as collection:  # it was written anew: no warning
                compare(model, collection)
        shutil.rmtree(copy)
    assert noticed > len(cases) * 0.6


@pytest.mark.parametrize("pattern", ["vector-0.*.annx", "columns.*.bin", "*.[ab]*n*"])
def test_a_missing_derived_file_is_made_again(tmp_path, pattern):
    model = grown(tmp_path)
    for path in tmp_path.glob(pattern):
        path.unlink()
    with pytest.warns(annx.RebuildWarning, match="missing"), opened(tmp_path) as collection:
        compare(model, collection)


def test_a_derived_file_of_another_time(tmp_path):
    """Under the name of a later sequence, as after a mistaken copy."""
    folder = tmp_path / "now"
    grown(folder)
    (path,) = folder.glob("vector-0.*.annx")
    old = path.read_bytes()
    model = grown(folder, seed=1)
    (path,) = folder.glob("vector-0.*.annx")
    path.rename(path.with_name("vector-0.123456789012.annx"))
    with pytest.warns(annx.RebuildWarning, match="other records"), opened(folder) as collection:
        compare(model, collection)
    # An old file beside the new one is not looked at.
    (folder / "vector-0.1.annx").write_bytes(old)
    with opened(folder) as collection:
        compare(model, collection)


def test_records_from_a_backup_that_were_written_to(tmp_path):
    """Derived files of one history beside the records of another."""
    folder, backup = tmp_path / "now", tmp_path / "backup.sqlite"
    grown(folder, count=40)
    shutil.copy(folder / "records.sqlite", backup)
    grown(folder, seed=1)
    shutil.copy(backup, folder / "records.sqlite")
    with pytest.warns(annx.RebuildWarning, match="other records"):
        model = grown(folder, seed=2)
    with opened(folder) as collection:
        compare(model, collection)


def test_a_kill_before_a_checkpoint_is_no_damage(tmp_path):
    model = grown(tmp_path)
    collection = annx.Collection.open(tmp_path)
    collection.upsert({"id": "d0", "n": 0})
    model.upsert([{"id": "d0", "n": 0}])
    kill(collection)
    with opened(tmp_path) as collection:
        compare(model, collection)


def test_damaged_records_are_not_believed(tmp_path, rng):
    folder = tmp_path / "whole"
    model = grown(folder)
    data = (folder / "records.sqlite").read_bytes()
    noticed = 0
    for place in damage_points(len(data), rng) + rng.integers(0, len(data), FLIPS).tolist():
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        (folder / "records.sqlite").write_bytes(flipped)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", annx.RebuildWarning)
                collection = annx.Collection.open(folder, read_only=True)
                try:
                    found = {each["id"]: each["n"] for each in collection.iterate(vectors=True)}
                    problems = collection.check()
                finally:
                    collection.close()
        except (annx.StorageError, annx.SchemaError):
            noticed += 1
            continue
        whole = {id: each["n"] for id, each in model.documents.items()}
        assert found.items() <= whole.items()
        # Page structure is all that SQLite does not look at: a page may end early.
        assert found == whole or problems
    assert noticed > FLIPS // 20


def test_records_that_are_missing_or_something_else(tmp_path):
    with pytest.raises(annx.MissingCollectionError):
        annx.Collection.open(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        annx.Collection.open(tmp_path / "none", dim=2, read_only=True)
    grown(tmp_path / "lost")
    (tmp_path / "lost" / "records.sqlite").unlink()
    with pytest.raises(annx.StorageError, match="missing"):
        annx.Collection.open(tmp_path / "lost", dim=DIM)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "records.sqlite").write_bytes(b"something else" * 1000)
    with pytest.raises(annx.StorageError):
        annx.Collection.open(tmp_path / "other", dim=DIM)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(annx.StorageError):
        annx.Collection.open(tmp_path / "file", dim=DIM)
