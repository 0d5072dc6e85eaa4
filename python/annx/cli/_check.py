"""``annx check``."""

from __future__ import annotations

from pathlib import Path

import click

import annx
from annx.cli import _options, _output


@click.command()
@click.argument("file", type=_options.existing_file)
@_options.threads
@_options.as_json
def check(file: Path, threads: int | None, as_json: bool) -> None:
    """Verify all of an index file: checksums, links, labels and rows.

    Says what is wrong where. Exit status 0 if nothing is, else 1.
    """
    report = annx.check_file(file, num_threads=threads)
    if as_json:
        _output.json_line(
            None,
            {
                "file": str(file),
                "ok": report.ok,
                "problems": list(report.problems),
                "sections": [
                    {"name": name, "offset": offset, "bytes": length}
                    for name, offset, length in report.sections
                ],
                "damaged": [
                    {"section": name, "from": start, "to": stop}
                    for name, start, stop in report.damaged
                ],
            },
        )
    else:
        hurt = {name for name, *_ in report.damaged}
        rows = [
            [name, f"{offset:,}", f"{length:,}", "damaged" if name in hurt else "ok"]
            for name, offset, length in report.sections
        ]
        if rows:
            _output.table(["section", "offset", "bytes", "checksum"], rows)
        for problem in report.problems:
            _output.echo(problem)
        if report.ok:
            _output.echo(f"{file.name}: all of it is as it was written")
    if not report.ok:
        raise click.exceptions.Exit(1)
