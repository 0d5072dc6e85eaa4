from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from annx._backends import select

sys.path.append(str(Path(__file__).parent))

from reference import ReferenceCore

ENGINES = ("native", "numba")


def load_backend(name: str) -> select.Backend:
    """A backend by name; skips the test where this installation lacks it."""
    if name == "reference":
        return select.Backend("reference", "the slow twin", ReferenceCore)
    forced = os.environ.get("ANNX_BACKEND")
    if forced and forced != name:
        pytest.skip(f"ANNX_BACKEND={forced}")
    try:
        return select.Backend(name, "asked for by the test", select._load(name))
    except ImportError as error:
        if os.environ.get("ANNX_REQUIRE_NATIVE") and name == "native":
            raise
        pytest.skip(f"no {name} backend: {error}")


@pytest.fixture
def use_backend(monkeypatch):
    """A function that makes a backend the one behind new and loaded indexes."""

    def use(name: str) -> str:
        chosen = load_backend(name)
        monkeypatch.setattr(select, "backend", lambda: chosen)
        return name

    return use


@pytest.fixture(params=["reference", *ENGINES])
def backend(request, use_backend) -> str:
    """Every backend in turn, the slow twin among them."""
    return use_backend(request.param)


@pytest.fixture(params=ENGINES)
def engine(request, use_backend) -> str:
    """Every backend that users run."""
    return use_backend(request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)
