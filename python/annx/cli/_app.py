"""The command group, and how errors leave it."""

from __future__ import annotations

import errno
from typing import Any

import click

import annx
from annx.cli._bench import bench
from annx.cli._build import build
from annx.cli._check import check
from annx.cli._collection import collection
from annx.cli._demo import demo
from annx.cli._eval import evaluate
from annx.cli._info import info
from annx.cli._search import search
from annx.errors import AnnxError


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


class _Group(click.Group):
    """Turns what annx raises into one line and exit status 1; misuse exits with 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AnnxError, ImportError, MemoryError) as error:
            raise click.ClickException(_one_line(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise click.ClickException(_one_line(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(annx.__version__, package_name="annx")
def cli() -> None:
    """Approximate nearest neighbour search over files of vectors.

    Vectors are read from .npy, .npz, .fvecs, .bvecs, .ivecs, HDF5 and Parquet.
    """


for _command in (demo, bench, build, search, info, check, evaluate, collection):
    cli.add_command(_command)
