"""``annx info``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import annx
from annx import datasets
from annx.cli import _options, _output
from annx.errors import ReadOnlyError


@click.command()
@click.argument("file", type=_options.existing_file, required=False)
@_options.key
@_options.as_json
def info(file: Path | None, key: str | None, as_json: bool) -> None:
    """Describe an index, a file of vectors, or, without FILE, this installation."""
    found = _installation() if file is None else _describe(file, key)
    if as_json:
        _output.json_line(None, found)
        return
    _output.table(["", ""], [[name, text] for name, text in _flat(found)], left=2)


def _installation() -> dict[str, Any]:
    backend = annx.backend()
    return {
        "annx": annx.__version__,
        "backend": backend.name,
        "backend_why": backend.why,
        "cpu": annx.cpu_info(),
    }


def _describe(file: Path, key: str | None) -> dict[str, Any]:
    if file.suffix.lower() not in datasets.SUFFIXES:
        try:
            return annx.load(file, mmap=True).info()
        except ReadOnlyError:  # incremental saves added to it
            return annx.load(file).info()
    rows = datasets.read(file, key=key)
    return {"shape": list(rows.shape), "dtype": str(rows.dtype), "bytes": file.stat().st_size}


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif isinstance(value, float):
            yield f"{above}{name}", f"{value:,.4g}"
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{above}{name}", f"{value:,}"
        elif isinstance(value, (list, tuple)):
            yield f"{above}{name}", " ".join(map(str, value)) or "none"
        else:
            yield f"{above}{name}", str(value)
