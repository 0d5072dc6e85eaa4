"""Runs and judgements in the formats of TREC."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

from annx.errors import FormatError, ParameterError
from annx.evaluation._lines import PathLike, problem, read_lines, write_text
from annx.evaluation._measures import Qrels, Run

Value = TypeVar("Value", int, float)

_BEIR_HEADER = ["query-id", "corpus-id", "score"]


def read_qrels(path: PathLike) -> dict[str, dict[str, int]]:
    """Read judgements: TREC's ``query 0 document relevance``, or BEIR's with its heading.

    Parameters
    ----------
    path : str or path-like
        Ending in ``.gz``, it is unpacked.

    Returns
    -------
    dict of str to dict of str to int
        Relevance by query and document.

    Raises
    ------
    FormatError
        Naming the line: a wrong number of fields, a relevance that is no whole number, a
        document judged twice for one query. Also if nothing is judged.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from annx.evaluation import read_qrels, write_qrels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "test.qrels")
    ...     write_qrels(path, {"q1": {"d7": 2}})
    ...     read_qrels(path)
    {'q1': {'d7': 2}}
    """
    path = Path(path)
    qrels: dict[str, dict[str, int]] = {}
    beir = False
    for place, (number, line) in enumerate(read_lines(path)):
        if place == 0 and line.split("\t") == _BEIR_HEADER:
            beir = True
            continue
        fields = line.split("\t") if beir else line.split()
        expected = "query-id corpus-id score" if beir else "query 0 document relevance"
        if len(fields) != (3 if beir else 4):
            raise problem(
                path, number, f"expected {expected!r}, got {len(fields)} fields: {line[:80]!r}"
            )
        query, document, relevance = fields[0], fields[-2], fields[-1]
        try:
            value = int(relevance)
        except ValueError:
            raise problem(
                path, number, f"expected a whole number as relevance, got {relevance!r}"
            ) from None
        if not _enter(qrels, query, document, value):
            raise problem(path, number, f"document {document!r} is judged twice for {query!r}")
    if not qrels:
        raise FormatError(f"{path}: expected judgements, got none")
    return qrels


def write_qrels(path: PathLike, qrels: Qrels, *, format: str = "trec") -> None:
    """Write judgements.

    Parameters
    ----------
    path : str or path-like
        Ending in ``.gz``, it is packed.
    qrels : mapping of str to mapping of str to int
    format : {"trec", "beir"}

    Raises
    ------
    ParameterError
        An id has white space in it, which the format cannot hold; or another format.
    OSError
        The file cannot be written; an older one is unharmed.
    """
    if format not in ("trec", "beir"):
        raise ParameterError(f"expected format to be 'trec' or 'beir', got {format!r}")
    with write_text(Path(path)) as file:
        if format == "beir":
            file.write("\t".join(_BEIR_HEADER) + "\n")
        for query, documents in qrels.items():
            for document, relevance in documents.items():
                if format == "beir":
                    names = _field(query, "\t\r\n"), _field(document, "\t\r\n")
                    file.write(f"{names[0]}\t{names[1]}\t{int(relevance)}\n")
                else:
                    file.write(f"{_field(query)} 0 {_field(document)} {int(relevance)}\n")


def read_run(path: PathLike) -> dict[str, dict[str, float]]:
    """Read a run: TREC's ``query Q0 document rank score tag``.

    Parameters
    ----------
    path : str or path-like
        Ending in ``.gz``, it is unpacked.

    Returns
    -------
    dict of str to dict of str to float
        Scores by query and document; as in TREC's own tool, the rank plays no part.

    Raises
    ------
    FormatError
        Naming the line: a wrong number of fields, a score that is no finite number, a
        document that stands twice for one query. Also if the file holds nothing.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from annx.evaluation import read_run, write_run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "bm25.run")
    ...     write_run(path, {"q1": {"d7": 0.5, "d2": 1.25}}, tag="bm25")
    ...     read_run(path)
    {'q1': {'d2': 1.25, 'd7': 0.5}}
    """
    path = Path(path)
    run: dict[str, dict[str, float]] = {}
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 6:
            raise problem(
                path,
                number,
                f"expected 'query Q0 document rank score tag', got {len(fields)} fields: "
                f"{line[:80]!r}",
            )
        query, _, document, _, score, _ = fields
        try:
            value = float(score)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise problem(path, number, f"expected a finite number as score, got {score!r}")
        if not _enter(run, query, document, value):
            raise problem(path, number, f"document {document!r} stands twice for {query!r}")
    if not run:
        raise FormatError(f"{path}: expected a run, got none")
    return run


def write_run(path: PathLike, run: Run, *, tag: str = "annx") -> None:
    """Write a run, each query's documents by descending score.

    Parameters
    ----------
    path : str or path-like
        Ending in ``.gz``, it is packed.
    run : mapping of str to mapping of str to float
    tag : str
        The name of the system.

    Raises
    ------
    ParameterError
        An id or the tag has white space in it, or a score is not finite.
    OSError
        The file cannot be written; an older one is unharmed.
    """
    name = _field(tag)
    with write_text(Path(path)) as file:
        for query, documents in run.items():
            ranked = sorted(documents.items(), key=lambda pair: -pair[1])
            for rank, (document, score) in enumerate(ranked, start=1):
                if not math.isfinite(score):
                    raise ParameterError(
                        f"expected finite scores, got {score} of {document!r} for {query!r}"
                    )
                # repr: what is read again is the same number.
                file.write(
                    f"{_field(query)} Q0 {_field(document)} {rank} {float(score)!r} {name}\n"
                )


def _enter(table: dict[str, dict[str, Value]], query: str, document: str, value: Value) -> bool:
    """Enter a document's value for a query; False if it has one already."""
    documents = table.setdefault(query, {})
    if document in documents:
        return False
    documents[document] = value
    return True


def _field(text: str, forbidden: str | None = None) -> str:
    """Check that a name is one field: without white space, or without what is forbidden."""
    whole = isinstance(text, str) and bool(text.strip())
    if whole and forbidden is None:
        whole = text.split() == [text]
    elif whole and forbidden is not None:
        whole = not set(forbidden) & set(text)
    if not whole:
        kind = "white space" if forbidden is None else "tabs and line breaks"
        raise ParameterError(f"expected a name without {kind}, got {text!r}")
    return text
