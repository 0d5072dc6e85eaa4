"""Which backend runs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from conftest import load_backend

import annx

PREVENT = """
    import sys
    for name in {names!r}:
        sys.modules[name] = None  # the import system then refuses it
"""
NATIVE, NUMBA = "annx._native", "numba"


def run(code, prevent=(), **env):
    names = {name: value for name, value in os.environ.items() if not name.startswith("ANNX_")}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(PREVENT.format(names=prevent)) + textwrap.dedent(code),
        ],
        env=names | env,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def test_native_first():
    load_backend("native")
    code, out, err = run("import annx; b = annx.backend(); print(b, '|', b.why)")
    assert (code, out, err) == (0, "native | the C++ extension is installed\n", "")


def test_numba_takes_over_and_says_so_once():
    load_backend("numba")
    code, out, err = run(
        """
        import annx
        print(annx.backend().name, annx.backend().name)
        index = annx.Index(2)
        annx.Index(2)
        print(index.info()["isa"], "cannot load" in index.info()["backend_why"])
        """,
        prevent=[NATIVE],
    )
    assert (code, out) == (0, "numba numba\nnumba True\n")
    assert err.count("RuntimeWarning: annx runs on its Numba backend") == 1
    assert err.startswith("<string>:")  # the user's line, not one of annx


def test_no_backend_is_an_error_at_first_use_alone():
    code, out, err = run(
        """
        import annx
        print("imported")
        annx.Index(2)
        """,
        prevent=[NATIVE, NUMBA],
    )
    assert code != 0 and out == "imported\n"
    assert "BackendError: annx has no backend" in err and "pip install annx[numba]" in err


@pytest.mark.parametrize("name", ["native", "numba"])
def test_the_environment_forces_one(name):
    load_backend(name)
    code, out, err = run("import annx; print(annx.backend().why)", ANNX_BACKEND=name)
    assert (code, out, err) == (0, f"ANNX_BACKEND={name}\n", "")


@pytest.mark.parametrize(("name", "module"), [("native", NATIVE), ("numba", NUMBA)])
def test_a_forced_backend_that_is_not_there(name, module):
    code, _, err = run("import annx; annx.backend()", prevent=[module], ANNX_BACKEND=name)
    assert code != 0 and f"BackendError: ANNX_BACKEND={name}, but it cannot load" in err


def test_an_unknown_backend():
    code, _, err = run("import annx; annx.backend()", ANNX_BACKEND="gpu")
    assert code != 0
    assert "BackendError: ANNX_BACKEND must be 'native' or 'numba', got 'gpu'" in err


def test_numba_has_no_instruction_sets():
    load_backend("numba")
    code, _, err = run("import annx; annx.backend()", ANNX_BACKEND="numba", ANNX_ISA="avx2")
    assert code != 0 and "BackendError: ANNX_ISA" in err


def test_importing_annx_is_cheap():
    code, out, _ = run(
        "import sys, annx; print(sorted({'numba', 'annx._native', 'click'} & set(sys.modules)))"
    )
    assert (code, out) == (0, "[]\n")


def test_cpu_info(backend):
    if backend == "reference":
        pytest.skip("no engine")
    info = annx.cpu_info()
    assert info["isa"] in info["available"] and set(info) >= {"machine", "features"}
