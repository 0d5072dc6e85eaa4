"""``annx eval``."""

from __future__ import annotations

from pathlib import Path

import click

from annx import evaluation
from annx.cli import _options, _output
from annx.evaluation import Comparison, Evaluation


def _measures(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(word for word in value.replace(",", " ").split() if word)


@click.command("eval")
@click.argument("qrels", type=_options.existing_file)
@click.argument("run", type=_options.existing_file)
@click.argument("other", type=_options.existing_file, required=False)
@click.option(
    "--measures",
    default="nDCG@10,RR@10,AP@100,R@100,Success@10",
    show_default=True,
    callback=_measures,
    help="As ir-measures names them.",
)
@click.option("--confidence", type=click.FloatRange(0, 1, True, True), default=0.95)
@click.option("--seed", type=int, default=0, help="Of what is resampled.")
@_options.as_json
def evaluate(
    qrels: Path,
    run: Path,
    other: Path | None,
    measures: tuple[str, ...],
    confidence: float,
    seed: int,
    as_json: bool,
) -> None:
    """Measure a RUN by the judgements QRELS, or compare it with an OTHER run.

    Runs are in TREC's format, judgements in TREC's or BEIR's; ``.gz`` is unpacked. Of two runs
    it shows the differences, whether they are more than chance, and the worst queries.
    """
    judgements = evaluation.read_qrels(qrels)
    first = evaluation.read_run(run)
    if other is None:
        _print_one(evaluation.evaluate(first, judgements, measures), as_json)
        return
    found = evaluation.compare_runs(
        first,
        evaluation.read_run(other),
        judgements,
        measures=measures,
        names=(run.name, other.name),
        confidence=confidence,
        seed=seed,
    )
    if as_json:
        _print_json(found)
    else:
        _output.echo(str(found))


def _print_one(found: Evaluation, as_json: bool) -> None:
    if as_json:
        _output.json_line(None, {"queries": len(found.queries), "measures": dict(found)})
        return
    _output.table(["measure", "mean"], [[name, f"{value:.4f}"] for name, value in found.items()])
    _output.echo(f"{len(found.queries):,} queries")


def _print_json(found: Comparison) -> None:
    for name, each in found.measures.items():
        better, same, worse = found.counts(name)
        counts = {"better": better, "same": same, "worse": worse}
        _output.json_line("measure", {"measure": name, **each._asdict(), **counts})
    for row in found.worst():
        _output.json_line("worst", {"query": row.id, "a": row.a, "b": row.b})
