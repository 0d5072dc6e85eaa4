"""What is installed, and what the project file promises about it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import annx

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def installed() -> metadata.Distribution:
    try:
        return metadata.distribution("annx")
    except metadata.PackageNotFoundError:
        pytest.skip("annx runs from its source folder; it is not installed")


def test_version_has_one_source():
    source = (ROOT / "python" / "annx" / "_version.py").read_text("utf-8")
    assert re.findall(r'^__version__ = "(.+)"$', source, re.M) == [annx.__version__]
    assert "version" in PROJECT["dynamic"]
    assert installed().version == annx.__version__


def test_numpy_is_the_only_dependency():
    assert [re.match(r"[\w-]+", text).group() for text in PROJECT["dependencies"]] == ["numpy"]


def test_extras_are_declared():
    assert set(PROJECT["optional-dependencies"]) >= {"bench", "cli", "dev", "numba", "test"}
    assert set(installed().metadata.get_all("Provides-Extra")) >= {"bench", "cli", "numba"}


def test_types_are_shipped():
    assert resources.files(annx).joinpath("py.typed").is_file()


def test_licence_is_shipped():
    assert installed().metadata["License-Expression"] == "Apache-2.0"
    assert any(path.name == "LICENSE" for path in installed().files)


def test_command_is_installed():
    (script,) = installed().entry_points.select(group="console_scripts", name="annx")
    assert callable(script.load())


def test_import_is_cheap():
    """Numba and the packages of the extras are loaded by those who use them."""
    code = "import annx, sys; print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    heavy = ["click", "h5py", "hnswlib", "numba", "pyarrow", "rich"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", annx.__all__)
def test_public_names_are_documented(name):
    public = getattr(annx, name)
    assert isinstance(public, str) or public.__doc__
