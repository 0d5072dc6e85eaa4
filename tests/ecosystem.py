"""Packages of other ecosystems that tests of the integrations run against."""

from __future__ import annotations

import importlib
import os
import warnings

import pytest


def need(*modules: str) -> None:
    """Skip a test module where a package is missing; fail with ANNX_REQUIRE_ECOSYSTEM=1.

    Called before the imports of these packages; what they warn of when first imported is
    not ours to mend.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in modules:
            if os.environ.get("ANNX_REQUIRE_ECOSYSTEM"):
                importlib.import_module(module)
            else:
                pytest.importorskip(module, exc_type=ImportError)
