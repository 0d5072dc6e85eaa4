"""The suite once more under each instruction set that is not the machine's best."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = ["test_distances.py", "test_duplicates.py", "test_graph.py", "test_search.py"]


def others():
    try:
        from annx import _native

        return [isa for isa in _native.cpu_info()["available"] if isa != _native.cpu_info()["isa"]]
    except ImportError:
        return []


def python(isa, *arguments):
    # The outer run's environment must not choose for the inner one.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, *arguments],
        env=env | {"ANNX_ISA": isa, "ANNX_BACKEND": "native"},
        capture_output=True,
        text=True,
        timeout=300,
    )


# A machine with one instruction set has no other to run: that is shown as a skip.
@pytest.mark.parametrize("isa", others() or [pytest.param("", marks=pytest.mark.skip("only one"))])
def test_suite(isa):
    if "ANNX_ISA" in os.environ:
        pytest.skip("ANNX_ISA is forced")
    here = Path(__file__).parent
    files = [str(here / name) for name in SUITE]
    run = python(isa, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "native", *files)
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout and "skipped" not in run.stdout


def test_an_instruction_set_that_the_machine_lacks_is_refused(use_backend):
    use_backend("native")
    run = python("sse9", "-c", "import annx; annx.Index(3)")
    assert run.returncode != 0
    assert "annx.errors.BackendError: ANNX_ISA=sse9 is not available" in run.stderr
