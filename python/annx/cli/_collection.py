"""``annx collection``: folders of documents."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import annx
from annx.cli import _options, _output
from annx.errors import ParameterError

_folder = click.Path(file_okay=False, path_type=Path)
_filter = click.option(
    "--filter", "filter_json", default=None, metavar="JSON", help='Such as \'{"city": "Oslo"}\'.'
)


@click.group()
def collection() -> None:
    """Keep documents in a folder, and find them."""


def _object(text: str | None, name: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ParameterError(f"{name}: expected an object of JSON: {error}") from None
    if not isinstance(found, dict):
        raise ParameterError(f"{name}: expected an object of JSON, got {text}")
    return found


@collection.command("import")
@click.argument("folder", type=_folder)
@click.argument("files", type=_options.existing, nargs=-1, required=True)
@click.option("--dim", type=_options.positive, default=None, help="Elements of a vector.")
@click.option("--metric", type=click.Choice(_options.METRICS), default=None)
@click.option("--text", multiple=True, metavar="FIELD", help="Keyword search looks into it.")
@click.option("--sparse", multiple=True, metavar="FIELD", help="A field of sparse vectors.")
@click.option("--rename", multiple=True, metavar="FROM=TO", help="A name of the files to a field.")
def import_(
    folder: Path,
    files: tuple[Path, ...],
    dim: int | None,
    metric: str | None,
    text: tuple[str, ...],
    sparse: tuple[str, ...],
    rename: tuple[str, ...],
) -> None:
    """Add the documents of FILES to the collection in FOLDER, or create it.

    FILES are JSON lines, Parquet or BEIR folders. The options say what fields a new collection
    has.
    """
    pairs = [each.partition("=") for each in rename]
    names = {source: target for source, _, target in pairs}
    if not all(equals and source and target for source, equals, target in pairs):
        raise ParameterError(f"--rename: expected FROM=TO, got {' '.join(rename)}")
    opened = annx.Collection.open(
        folder, dim=dim, metric=metric, text=text or None, sparse=sparse or None
    )
    with opened, _output.progress() as report:
        for file in files:
            told = partial(report, file.name)
            done = opened.import_file(file, rename=names, progress=told)
            _output.echo(f"{file}: {done:,} documents")


@collection.command("export")
@click.argument("folder", type=_folder)
@click.argument("file", type=click.Path(path_type=Path))
@_filter
@click.option("--no-vectors", is_flag=True, help="Leave vectors out.")
def export(folder: Path, file: Path, filter_json: str | None, no_vectors: bool) -> None:
    """Write the documents of the collection in FOLDER to FILE: .jsonl, .parquet, a folder."""
    with annx.Collection.open(folder, read_only=True) as opened, _output.progress() as report:
        chosen = _object(filter_json, "--filter")
        told = partial(report, file.name)
        done = opened.export_file(file, filter=chosen, vectors=not no_vectors, progress=told)
    _output.echo(f"{file}: {done:,} documents")


def _query(file: Path) -> NDArray[Any]:
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ParameterError(f"{file}: expected an .npy file: {error}") from None
    if not isinstance(rows, np.ndarray) or rows.ndim not in (1, 2) or not rows.size:
        raise ParameterError(f"{file}: expected one row or more in an .npy file")
    return rows if rows.ndim == 1 else np.asarray(rows[0])


@collection.command("search")
@click.argument("folder", type=_folder)
@click.argument("words", required=False)
@click.option(
    "--vector",
    type=_options.existing_file,
    default=None,
    help="An .npy file whose first row is the query.",
)
@click.option("-k", type=_options.positive, default=10, show_default=True)
@_filter
@_options.as_json
def search(
    folder: Path,
    words: str | None,
    vector: Path | None,
    k: int,
    filter_json: str | None,
    as_json: bool,
) -> None:
    """Find the K best documents for WORDS, a vector, or both, in the collection in FOLDER.

    Prints rank, score and id, tab-separated, or each document with --json.
    """
    query = None
    if vector is not None:
        query = _query(vector)
    with annx.Collection.open(folder, read_only=True) as opened:
        hits = opened.search(words, vector=query, k=k, filter=_object(filter_json, "--filter"))
    for rank, hit in enumerate(hits, 1):
        if as_json:
            _output.json_object({"rank": rank, "score": hit.score, **hit.document})
        else:
            _output.echo(f"{rank}\t{hit.score:.6g}\t{hit.id}")


@collection.command("info")
@click.argument("folder", type=_folder)
@_options.as_json
def info(folder: Path, as_json: bool) -> None:
    """Describe the collection in FOLDER."""
    with annx.Collection.open(folder, read_only=True) as opened:
        stats, schema = opened.stats(), opened.schema
    if as_json:
        parts = {name: {"bytes": part.bytes, "lag": part.lag} for name, part in stats.parts.items()}
        fields = json.loads(schema.dumps())
        _output.json_object({"documents": stats.documents, "parts": parts, "fields": fields})
        return
    rows = [["documents", f"{stats.documents:,}", ""]]
    for name, field in schema.vectors.items():
        rows.append([f"vector {name}", f"{field.dim} x {field.metric}", field.codec])
    rows += [[f"text {name}", field.language or "", ""] for name, field in schema.text.items()]
    rows += [[f"sparse {name}", "", ""] for name in schema.sparse]
    for name, part in stats.parts.items():
        behind = f"{part.lag:,} changes behind" if part.lag else ""
        rows.append([f"{name} on disk", f"{part.bytes:,} bytes", behind])
    _output.table(["", "", ""], rows, left=3)


@collection.command("check")
@click.argument("folder", type=_folder)
@click.pass_context
def check(ctx: click.Context, folder: Path) -> None:
    """Examine the collection in FOLDER; exit with 1 if anything is wrong."""
    with annx.Collection.open(folder, read_only=True) as opened:
        problems = opened.check()
    for problem in problems:
        _output.echo(problem)
    if problems:
        ctx.exit(1)
    _output.echo("all is well")
