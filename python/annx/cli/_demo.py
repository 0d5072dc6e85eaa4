"""``annx demo``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import numpy as np

import annx
from annx._bench.comparison import BASELINE, Settings
from annx._bench.engines import Spec, installed
from annx._bench.engines._annx import AnnxEngine
from annx._bench.journal import Journal
from annx._bench.page import page
from annx._bench.run import compare
from annx.cli import _answers, _bench, _options, _output, _sample
from annx.errors import ParameterError

#: Queries shown when none is asked for.
SHOWN = 3
#: Queries in the report.
REPORTED = 8
#: Without it the int8 figures would look like a free gift.
NOTE = (
    "annx i8 keeps the sample's vectors as they are shipped, in int8, where f32 and hnswlib "
    "hold the same values as float32; embeddings that are not int8 already would be rounded."
)
#: Wide enough that the demo's answers are the true ones.
EF = 200


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=_sample.DEFAULT,
    show_default=True,
    help="Folder of the sample.",
)
@click.option("--query", "words", help="Only show results: of queries with these words.")
@click.option(
    "--codec",
    "codecs",
    type=click.Choice(("f32", "f16", "bf16", "i8")),
    multiple=True,
    default=("f32", "i8"),
    show_default=True,
)
@click.option("--clock", type=click.Choice(("wall", "cpu")), default="wall", show_default=True)
@click.option("-k", type=_options.positive, default=10, show_default=True)
@click.option("--rounds", type=_options.positive, default=5, show_default=True)
@click.option(
    "--report",
    type=_options.new_file,
    callback=_options.in_a_folder,
    default=Path("report.html"),
    show_default=True,
)
@_options.threads
@_options.as_json
def demo(
    data: Path,
    words: str | None,
    codecs: tuple[str, ...],
    clock: str,
    k: int,
    rounds: int,
    report: Path,
    threads: int | None,
    as_json: bool,
) -> None:
    """Search 20,000 WordNet definitions, beside hnswlib, and see what is found.

    Prints recall, speed, build time and memory, writes a report with the plot, and shows
    the definitions nearest to real example sentences. --threads is for builds.
    """
    if not data.is_dir():
        raise ParameterError(f"{data}: no such folder: run this in a clone of annx, or pass --data")
    sample = _sample.load(data)
    threads = threads or os.cpu_count() or 1
    if words is not None:
        _only_results(sample, words, k, threads, as_json)
        return

    settings = Settings(
        "cosine",
        k=k,
        codecs=codecs,
        peers=(BASELINE,) if installed(BASELINE) else (),
        rounds=rounds,
        threads=threads,
        clock=clock,
    )
    with _output.progress(quiet=as_json) as progress:
        if as_json:
            result = compare(sample.data, settings, journal=Journal(emit=_output.json_object))
        else:
            result = compare(sample.data, settings, progress=progress)
    engine = _engine(sample, threads, quiet=as_json)
    numbers = range(min(REPORTED, len(sample.queries)))
    answers = [_answer(sample, engine, number, k) for number in numbers]
    note = NOTE if "i8" in codecs and sample.data.base.dtype == np.int8 else ""
    report.write_text(page(result, extra=_answers.html(answers), note=note), encoding="utf-8")
    if as_json:
        for answer in answers[:SHOWN]:
            _output.json_line("answer", answer)
        return
    _bench.show(result)
    if note:
        _output.echo(f"\n{note}")
    if BASELINE not in result.curves():
        _output.echo("\nhnswlib is not installed: pip install 'annx[bench]' to compare")
    for answer in answers[:SHOWN]:
        _print(answer)
    _output.echo(f"\nreport with the plot: {report.resolve().as_uri()}")
    if sys.stdin.isatty() and _output.on_terminal():
        _browse(sample, engine, k)


def _only_results(sample: _sample.Sample, words: str, k: int, threads: int, as_json: bool) -> None:
    numbers = sample.matching(words)
    if not numbers:
        raise ParameterError(f"none of the {len(sample.queries):,} queries contains {words!r}")
    engine = _engine(sample, threads, quiet=as_json)
    for number in numbers[:SHOWN]:
        answer = _answer(sample, engine, number, k)
        if as_json:
            _output.json_line("answer", answer)
        else:
            _print(answer)
    if len(numbers) > SHOWN and not as_json:
        _output.echo(f"\n{len(numbers) - SHOWN:,} more queries contain {words!r}")


def _engine(sample: _sample.Sample, threads: int, quiet: bool) -> AnnxEngine:
    engine = AnnxEngine(Spec("annx", "cosine", "i8"), sample.data.base.shape[1])
    with _output.progress(quiet) as progress:
        engine.index.add(
            sample.data.base,
            num_threads=threads,
            progress=lambda done, total: progress("adding definitions", done, total),
        )
    return engine


def _answer(sample: _sample.Sample, engine: AnnxEngine, number: int, k: int) -> _answers.Answer:
    query = sample.queries[number]
    vector = engine.prepare(sample.data.queries[number])
    found: annx.SearchResult = engine.index.search(vector, k, ef_search=max(EF, k))
    hits = []
    for row, similarity in zip(found.labels[0], found.similarities[0], strict=True):
        if row == -1:
            break
        document = sample.documents[row]
        hits.append(
            _answers.Hit(
                document.words,
                document.definition,
                float(similarity),
                document.id == query.relevant,
            )
        )
    return _answers.Answer(query.text, hits)


def _print(answer: _answers.Answer) -> None:
    _output.heading(f'"{answer.query}"')
    for rank, hit in enumerate(answer.hits, start=1):
        own = "  <- the definition it illustrates" if hit.is_own else ""
        _output.echo(f"{rank:>3}. {hit.similarity:.3f}  {hit.words}: {hit.definition}{own}")


def _browse(sample: _sample.Sample, engine: AnnxEngine, k: int) -> None:
    """Let the user pick queries by number or word until an empty line."""
    total = len(sample.queries)
    while True:
        try:
            asked = input(f"\nA query by number (1-{total}), words to look for, or Enter: ")
        except (EOFError, KeyboardInterrupt):
            _output.echo()
            return
        asked = asked.strip()
        if not asked:
            return
        if asked.isdecimal() and 1 <= int(asked) <= total:
            _print(_answer(sample, engine, int(asked) - 1, k))
            continue
        numbers = sample.matching(asked)
        for number in numbers[:15]:
            _output.echo(f"{number + 1:>5}  {sample.queries[number].text}")
        if len(numbers) != 1:
            _output.echo(f"{len(numbers)} queries contain {asked!r}")
        else:
            _print(_answer(sample, engine, numbers[0], k))
