"""Whatever call fails: a typed error, a file as before, nothing beside it, and a usable index."""

from __future__ import annotations

import errno
import os
import resource
import stat

import pytest
from calls import ERRORS, Failing, count, watched
from scenarios import LONG, SCENARIOS, Case, built, change, named, rows

import annx

KINDS = ["EIO", "lasting", "short", "short, then full", *(["ENOSPC"] if LONG else [])]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX calls")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_fails(tmp_path, scenario, kind):
    case = Case(scenario, tmp_path)
    names = count(case.act)
    outcomes = set()
    for n, name in enumerate(names):
        if kind.startswith("short") and name != "write":
            continue
        case.reset()
        case.index = scenario.prepare(case.path)
        error = errno.EIO if kind in ("EIO", "lasting") else errno.ENOSPC
        more = {"lasting": 99, "short, then full": 99}.get(kind, 0)
        failing = Failing(n, error, more, short=kind.startswith("short"))
        with watched(failing):
            outcome = "saved"
            try:
                case.act()
            except OSError as caught:
                outcome = "failed"
                assert caught.errno == error
                assert caught.filename == str(case.path) and caught.filename2 is None
        assert failing.hit == name
        found = case.found()
        if outcome == "saved":
            assert found == "new"
        elif not may_be_new(names, n):
            assert found == "old"
            if case.file is not None and not scenario.name.endswith(("crash", "slot")):
                assert case.path.read_bytes() == case.file
        # Where not even unlink works, what is left goes with the next save.
        if not (kind == "lasting" and name == "unlink"):
            assert case.litter() == []
        outcomes.add(outcome)
        # The index has lost nothing, and neither way of saving stands in the other's.
        assert case.index.to_bytes() == case.new
        case.index.save(case.path, incremental=True)
        assert case.found() == "new" and case.litter() == []
        more_rows(case)
        case.index.save(case.path)
        assert annx.load(case.path).to_bytes() == case.index.to_bytes()
    assert ("saved" if kind == "short" else "failed") in outcomes


def may_be_new(names: list[str], n: int) -> bool:
    """Whether the new state may be there when call n fails: after the rename, or the record."""
    if "replace" in names:
        return n > names.index("replace")
    syncs = [at for at, name in enumerate(names) if name == "fsync"]
    return n > syncs[-2]  # the last is that of the slot


def more_rows(case: Case) -> None:
    case.index.add(rows(5, 99))
    assert case.index.search(rows(1, 99), k=1).labels.shape == (1, 1)


@pytest.mark.parametrize("error", ERRORS)
def test_after_a_failed_sync_nothing_is_added_to_that_file(tmp_path, error):
    """What could not be synced may be lost although the next sync succeeds."""
    case = Case(named("append-again"), tmp_path)
    names = count(case.act)
    for n in [n for n, name in enumerate(names) if name == "fsync"]:
        case.reset()
        case.index = case.scenario.prepare(case.path)
        before = os.stat(case.path).st_ino
        with watched(Failing(n, error)), pytest.raises(OSError):
            case.act()
        case.index.save(case.path, incremental=True)
        assert os.stat(case.path).st_ino != before
        assert case.found() == "new"


def limited(action, **limits):
    """Run an action in a child with less rights or room; returns what it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for name, value in limits.items():
                if name == "uid":
                    os.setgid(value)
                    os.setuid(value)
                else:
                    resource.setrlimit(getattr(resource, name), (value, value))
            action()
            os.write(writer, b"nothing")
        except BaseException as error:
            text = f"{type(error).__name__} {getattr(error, 'errno', None)} {error}"
            os.write(writer, text.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.parametrize("name", ["save", "append", "fold-incremental", "create"])
def test_a_file_may_not_grow(tmp_path, name):
    """RLIMIT_FSIZE: Python ignores the signal, and the call says EFBIG."""
    scenario = named(name)
    case = Case(scenario, tmp_path)
    size = len(case.file) if scenario.incremental and case.file else 1000
    text = limited(case.act, RLIMIT_FSIZE=size)
    assert text.startswith(f"OSError {errno.EFBIG}") and str(case.path) in text
    assert case.found() == "old" and case.litter() == []
    if case.file is not None:
        assert case.path.read_bytes() == case.file


@pytest.mark.parametrize("incremental", [False, True])
def test_a_folder_that_may_only_be_read(tmp_path, incremental):
    if os.getuid() != 0:
        uid = os.getuid()
    else:
        uid = 65534
    folder = tmp_path / "locked"
    folder.mkdir()
    path = folder / "i.annx"
    index = built()
    index.save(path)
    data = path.read_bytes()
    change(index, 5)
    index.repair()  # so that everything is written
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent != parent.parent:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    path.chmod(0o666)
    folder.chmod(0o555)
    try:
        text = limited(lambda: index.save(path, incremental=incremental), uid=uid)
    finally:
        folder.chmod(0o755)
    assert text.startswith("PermissionError") and str(path) in text
    assert path.read_bytes() == data and os.listdir(folder) == ["i.annx"]


@pytest.mark.parametrize("incremental", [False, True])
def test_a_missing_folder(tmp_path, incremental):
    path = tmp_path / "no" / "i.annx"
    with pytest.raises(FileNotFoundError, match="no"):
        built().save(path, incremental=incremental)
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path):
    case = Case(named("save"), tmp_path)
    for n in range(len(count(case.act))):
        case.reset()
        watch = Failing(n, errno.EIO)

        def interrupt(name, args, real, watch=watch):
            try:
                return watch(name, args, real)
            except OSError:
                raise KeyboardInterrupt from None

        with watched(interrupt):
            try:
                case.act()
            except KeyboardInterrupt:
                pass
        assert case.found() in ("old", "new") and case.litter() == []


def test_what_a_killed_process_left_goes_and_what_a_live_one_writes_stays(tmp_path):
    path = tmp_path / "i.annx"
    dead = tmp_path / (".i.annx." + "0" * 16 + ".tmp")
    live = tmp_path / (".i.annx." + "1" * 16 + ".tmp")
    other = tmp_path / (".other." + "0" * 16 + ".tmp")
    for each in (dead, live, other):
        each.write_bytes(b"half")
    from annx import _atomic

    descriptor = os.open(live, os.O_RDWR)
    try:
        assert _atomic.lock(descriptor)
        built().save(path)
        assert not dead.exists() and live.exists() and other.exists()
    finally:
        os.close(descriptor)
    built().save(path)
    assert sorted(os.listdir(tmp_path)) == sorted([other.name, path.name])
