"""What optional parts of annx need, and what they say where it is missing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from annx import AnnxError, MissingExtraError
from annx._extra import extra

ROOT = Path(__file__).parents[2]
INTEGRATIONS = sorted(
    path.stem
    for path in (ROOT / "python" / "annx" / "integrations").iterdir()
    if not path.name.startswith("_")
)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("module", INTEGRATIONS)
def test_an_integration_has_an_extra_and_a_place_in_ci(module):
    name = module.replace("_", "-")
    assert EXTRAS[name]
    assert any(each.startswith("annx[") and name in each for each in EXTRAS["ecosystem"])
    assert (ROOT / "tests" / "integrations" / f"test_{module}.py").exists()
    assert f"annx[{name}]" in (ROOT / "docs" / "integrations.md").read_text("utf-8")


#: Imports nothing but annx and NumPy.
ALONE = """
import importlib.abc, sys
class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        top = fullname.partition(".")[0]
        if top not in ("annx", "numpy") and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, Nothing())
import annx
"""


@pytest.mark.parametrize("module", INTEGRATIONS)
def test_a_missing_package_is_named_with_its_extra(module):
    name = module.replace("_", "-")
    code = f"""
try:
    import annx.integrations.{module}
except annx.MissingExtraError as error:
    assert "pip install 'annx[{name}]'" in str(error) and error.name in str(error), error
else:
    raise SystemExit("it was imported")
"""
    subprocess.run([sys.executable, "-c", ALONE + code], check=True)


def test_evaluation_needs_its_extra_where_it_measures(tmp_path):
    code = f"""
from annx import evaluation
evaluation.write_run({str(tmp_path / "x")!r}, {{"q": {{"d": 1.0}}}})
run = evaluation.read_run({str(tmp_path / "x")!r})
for call in (
    lambda: evaluation.evaluate(run, {{"q": {{"d": 1}}}}),
    lambda: evaluation.paired_difference([1, 2], [2, 4]),
):
    try:
        call()
    except annx.MissingExtraError as error:
        assert "pip install 'annx[evaluation]'" in str(error), error
    else:
        raise SystemExit("it ran")
"""
    subprocess.run([sys.executable, "-c", ALONE + code], check=True)


def test_other_errors_pass_through():
    with pytest.raises(MissingExtraError, match=r"nowhere is not.*annx\[sklearn\]") as caught:
        with extra("sklearn"):
            import nowhere  # noqa: F401
    assert isinstance(caught.value, AnnxError) and isinstance(caught.value, ImportError)
    with pytest.raises(ImportError) as other, extra("sklearn"):
        from os import nothing  # noqa: F401
    assert not isinstance(other.value, MissingExtraError)
