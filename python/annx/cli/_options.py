"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from annx._backends.base import STORAGE_DTYPES
from annx._choose import PRESETS

F = TypeVar("F", bound=Callable[..., Any])

METRICS = ("l2", "ip", "cosine", "hamming")
CODECS = (*PRESETS, *STORAGE_DTYPES)

existing = click.Path(exists=True, path_type=Path)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
new_file = click.Path(dir_okay=False, writable=True, path_type=Path)
positive = click.IntRange(min=1)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
threads = click.option(
    "--threads", type=positive, default=None, help="Threads to use; all cores by default."
)
key = click.option(
    "--key", default=None, help="Array of an .npz, dataset of an HDF5, or Parquet column."
)


def graph(command: F) -> F:
    """Add the parameters of the graph."""
    for option in (
        click.option("--seed", type=int, default=0, show_default=True),
        click.option(
            "--ef-construction", type=positive, default=200, show_default=True, metavar="N"
        ),
        click.option("--M", "m", type=positive, default=16, show_default=True, metavar="N"),
    ):
        command = option(command)
    return command


def in_a_folder(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a new file in a missing folder before the work whose result it would hold."""
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"{value.parent}: no such folder")
    return value


def int_list(ctx: click.Context, param: click.Parameter, value: Any) -> tuple[int, ...]:
    """Parse positive whole numbers between commas."""
    if isinstance(value, tuple):
        return value
    try:
        numbers = tuple(int(word) for word in str(value).split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 10,20,40") from None
    if min(numbers) < 1:
        raise click.BadParameter(f"{value!r}: all numbers must be positive")
    return numbers
