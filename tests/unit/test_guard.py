"""Costs that do not depend on the clock, against what was committed."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

import annx

FILE = Path(__file__).parents[2] / "benchmarks" / "guard.py"
place = importlib.util.spec_from_file_location("guard", FILE)
guard = importlib.util.module_from_spec(place)
place.loader.exec_module(guard)


def test_what_grew_is_named_and_what_shrank_is_not():
    old = {
        "a": {"ef": 20, "bytes a row": 100.0},
        "b": {"ef": 20, "visited": 10.0, "distances": 100.0},
        "c": {"ef": None},
        "d": {"ef": 20},
        "e": {"instructions": 100.0},
        "f": {"ef": 10},
    }
    assert guard.worse(old, old) == []
    new = {
        "a": {"ef": 26, "bytes a row": 102.0},
        "b": {"ef": 90, "visited": 10.2, "distances": 104.0},
        "c": {"ef": 20},
        "d": {"ef": None},
        "e": {"instructions": 121.0},
    }
    assert guard.worse(old, new) == [
        "a: ef was 20, is 26",
        "a: bytes a row was 100, is 102",
        "b: distances was 100, is 104",
        "d: out of reach",
        "e: instructions was 100, is 121",
        "f: no longer measured",
    ]
    better = {name: dict.fromkeys(costs, 1.0) for name, costs in old.items()}
    assert guard.worse(old, better) == []


@pytest.mark.slow
@pytest.mark.skipif(annx.backend().name != "native", reason="the baselines are the extension's")
def test_searches_cost_no_more_than_they_did():
    assert guard.worse(guard.read("search"), guard.search_costs()) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_kernels_cost_no_more_than_they_did():
    found = guard.kernel_costs()
    if found is None:
        pytest.skip("no extension, or another processor")
    assert guard.worse(guard.read("kernels"), found) == []
