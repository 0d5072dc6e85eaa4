"""Collections for retrieval in the format of BEIR: a folder of documents, queries, judgements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from annx.errors import FormatError, ParameterError
from annx.evaluation._lines import PathLike, problem, read_lines, write_text
from annx.evaluation._measures import Qrels
from annx.evaluation._trec import read_qrels, write_qrels

_CORPUS, _QUERIES = "corpus.jsonl", "queries.jsonl"


class BeirDataset(NamedTuple):
    """A collection with queries and judgements.

    Attributes
    ----------
    corpus : dict of str to dict
        Each document's fields, such as ``title`` and ``text``, by its id.
    queries : dict of str to str
        The text of each query.
    qrels : dict of str to dict of str to int
        Relevance by query and document.
    """

    corpus: dict[str, dict[str, Any]]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def read_beir(folder: PathLike, split: str = "test") -> BeirDataset:
    """Read ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv``.

    Parameters
    ----------
    folder : str or path-like
        Each file may be packed, with ``.gz`` behind its name.
    split : str

    Returns
    -------
    BeirDataset
        Queries without judgements in this split are left out, as BEIR does.

    Raises
    ------
    FormatError
        Naming file and line: no JSON object, no ``_id`` or ``text``, an id that stands twice, or
        as `read_qrels`; or a judgement of a query or document that is not there.
    OSError
        A file is missing or cannot be read.
    """
    folder = Path(folder)
    corpus_path, queries_path = _there(folder / _CORPUS), _there(folder / _QUERIES)
    qrels_path = _there(folder / "qrels" / f"{split}.tsv")
    corpus = _read_jsonl(corpus_path)
    texts = _read_jsonl(queries_path)
    qrels = read_qrels(qrels_path)
    for query, documents in qrels.items():
        if query not in texts:
            raise FormatError(f"{qrels_path}: query {query!r} is not in {queries_path.name}")
        for document in documents:
            if document not in corpus:
                raise FormatError(f"{qrels_path}: document {document!r} is not in {_CORPUS}")
    return BeirDataset(corpus, {query: texts[query]["text"] for query in qrels}, qrels)


def write_beir(
    folder: PathLike,
    corpus: Mapping[str, Mapping[str, Any] | str],
    queries: Mapping[str, str],
    qrels: Qrels,
    *,
    split: str = "test",
) -> None:
    """Write ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv``.

    Parameters
    ----------
    folder : str or path-like
        Made if missing.
    corpus : mapping of str to mapping or str
        Fields of each document by its id, or its text.
    queries : mapping of str to str
    qrels : mapping of str to mapping of str to int
    split : str

    Raises
    ------
    ParameterError
        A judgement is of a query or document that is not there, or a document has no text.
    OSError
        A file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from annx.evaluation import read_beir, write_beir
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_beir(folder, {"d1": "a lap of shingles"}, {"q1": "roof"}, {"q1": {"d1": 1}})
    ...     read_beir(folder).corpus
    {'d1': {'title': '', 'text': 'a lap of shingles'}}
    """
    for query, documents in qrels.items():
        if query not in queries:
            raise ParameterError(f"expected judgements of the queries, got one of {query!r}")
        for document in documents:
            if document not in corpus:
                raise ParameterError(f"expected judgements of the corpus, got one of {document!r}")
    records = []
    for name, given in corpus.items():
        fields = {"text": given} if isinstance(given, str) else dict(given)
        if not isinstance(fields.get("text"), str):
            raise ParameterError(
                f"expected a text of document {name!r}, got {fields.get('text')!r}"
            )
        records.append({"_id": name, "title": "", **fields})
    folder = Path(folder)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    _write_jsonl(folder / _CORPUS, records)
    _write_jsonl(folder / _QUERIES, [{"_id": name, "text": text} for name, text in queries.items()])
    write_qrels(folder / "qrels" / f"{split}.tsv", qrels, format="beir")


def _there(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    return packed if packed.exists() and not path.exists() else path


def _read_jsonl(path: Path) -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    for number, line in read_lines(path):
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise problem(path, number, f"expected JSON: {error}") from error
        if not isinstance(record, dict):
            raise problem(path, number, f"expected a JSON object, got {line[:80]!r}")
        for field in ("_id", "text"):
            if not isinstance(record.get(field), str):
                raise problem(path, number, f"expected {field!r} to be text: {line[:80]!r}")
        name = record.pop("_id")
        if name in records:
            raise problem(path, number, f"id {name!r} stands twice")
        records[name] = record
    return records


def _write_jsonl(path: Path, records: list[dict[str, Any]]) -> None:
    with write_text(path) as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
