"""Where in its text a document answers a keyword query."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annx import _validate
from annx.collection._match import Terms, edits_for, rarest
from annx.collection._text import TextQuery, normal
from annx.errors import ParameterError

if TYPE_CHECKING:
    import tantivy


@dataclass(frozen=True, slots=True)
class Highlight:
    """How snippets look.

    Parameters
    ----------
    fields : sequence of str, optional
        Text fields; by default those that the query looked into.
    max_chars : int
        How long a snippet may be, without its marks.
    before, after : str
        What stands around a word that was found.
    escape : bool
        Escape the text for HTML.

    Raises
    ------
    ParameterError
    """

    fields: Sequence[str] | None = None
    max_chars: int = 200
    before: str = "<b>"
    after: str = "</b>"
    escape: bool = True

    def __post_init__(self) -> None:
        _validate.integer(self.max_chars, "max_chars", 1, 1 << 30)
        if isinstance(self.fields, str):
            raise ParameterError("expected fields as a list, got a string")
        if self.fields is not None:
            _validate.names(self.fields, "fields")
        for mark in (self.before, self.after):
            if not isinstance(mark, str):
                raise ParameterError(f"expected marks as str, got {mark!r}")


class Marker:
    """Makes snippets for one query.

    Parameters
    ----------
    query : TextQuery
    fields : mapping of str to Terms
    index, searcher : tantivy.Index, tantivy.Searcher
    style : Highlight
    """

    def __init__(
        self,
        query: TextQuery,
        fields: Mapping[str, Terms],
        index: tantivy.Index,
        searcher: tantivy.Searcher,
        style: Highlight,
    ) -> None:
        import tantivy

        self._tantivy = tantivy
        self._index = index
        self._searcher = searcher
        self._style = style
        self._query = query
        self._fields = fields

    def mark(self, documents: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """For each document, a snippet of each field that holds a word of the query."""
        made: list[dict[str, str]] = [{} for _ in documents]
        for name, terms in self._fields.items():
            given = [document.get(name) for document in documents]
            texts = [normal(text) if isinstance(text, str) else "" for text in given]
            generator, column = self._generator(terms, texts)
            if generator is None:
                continue
            generator.set_max_num_chars(self._style.max_chars)
            for text, snippets in zip(texts, made, strict=True):
                document = self._tantivy.Document()
                document.add_text(column, text)
                snippet = generator.snippet_from_doc(document)
                ranges = [(part.start, part.end) for part in snippet.highlighted()]
                if ranges:
                    snippets[name] = self._marked(snippet.fragment(), ranges)
        return made

    def _generator(
        self, terms: Terms, texts: Sequence[str]
    ) -> tuple[tantivy.SnippetGenerator | None, str]:
        query, make = self._tantivy.Query, self._tantivy.SnippetGenerator.create
        schema = self._index.schema
        if self._query.query_syntax:
            parsed = self._index.parse_query(normal(self._query.text), [terms.stem])
            return make(self._searcher, parsed, schema, terms.stem), terms.stem
        # tantivy marks terms that a query names. Likes are found here, among the words there are.
        answers = _answers(self._query, terms, self._searcher)
        words = {word for text in texts for stem, word in terms.pairs(text) if answers(stem, word)}
        if not words:
            return None, terms.raw
        should = self._tantivy.Occur.Should
        parts = [(should, query.term_query(schema, terms.raw, word, "basic")) for word in words]
        return make(self._searcher, query.boolean_query(parts), schema, terms.raw), terms.raw

    def _marked(self, text: str, ranges: Sequence[tuple[int, int]]) -> str:
        escape = html.escape if self._style.escape else str
        # tantivy counts bytes.
        data, out, at = text.encode(), [], 0
        for start, end in ranges:
            out.append(escape(data[at:start].decode()))
            out.append(self._style.before + escape(data[start:end].decode()) + self._style.after)
            at = end
        return "".join([*out, escape(data[at:].decode())])


def _answers(
    query: TextQuery, terms: Terms, searcher: tantivy.Searcher
) -> Callable[[str, str], bool]:
    """Whether a word, given with its stem, is one that the query asks for."""
    pairs = terms.pairs(normal(query.text))
    kept = list(rarest(terms, dict.fromkeys(pairs, 1), searcher))
    stems = {stem for stem, _ in kept}
    words = {word for _, word in kept}
    start = pairs[-1][1] if pairs and query.prefix else None

    def answers(stem: str, word: str) -> bool:
        if stem in stems or (start is not None and word.startswith(start)):
            return True
        if not query.fuzzy:
            return False
        return any(
            within(asked, word, edits_for(asked, query.fuzzy), asked == start) for asked in words
        )

    return answers


def within(asked: str, word: str, most: int, prefix: bool = False) -> bool:
    """Whether `word`, or with `prefix` a beginning of it, is at most so many edits from `asked`.

    Edits: a letter more, less or another, or two neighbours exchanged.
    """
    if abs(len(asked) - len(word)) > most and not (prefix and len(word) > len(asked)):
        return False
    before: list[int] = []
    row = list(range(len(asked) + 1))
    best = row[-1]
    for at, letter in enumerate(word, 1):
        older, before = before, row
        row = [at]
        for place, wanted in enumerate(asked, 1):
            cost = min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != wanted))
            if at > 1 and place > 1 and letter == asked[place - 2] and word[at - 2] == wanted:
                cost = min(cost, older[place - 2] + 1)
            row.append(cost)
        best = min(best, row[-1])
    return (best if prefix else row[-1]) <= most
