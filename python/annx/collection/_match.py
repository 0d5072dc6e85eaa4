"""A keyword query as tantivy's query objects.

Words go in as terms, never through a parser, so that nothing in a user's text is an operator.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from annx.collection._text import TextQuery, normal
from annx.errors import ParameterError

if TYPE_CHECKING:
    import tantivy

# As Lucene's maxClauseCount. Of a longer text, such as a document used as a query, the rarest
# terms are searched.
MOST_TERMS = 1024


class Terms:
    """One text field of an index: names of its columns and how text becomes their terms.

    `raw` holds words as they are, for fuzzy and prefix; it is `stem` where nothing is stemmed.
    """

    __slots__ = ("raw", "raw_analyzer", "stem", "stem_analyzer")

    def __init__(
        self,
        stem: str,
        raw: str,
        stem_analyzer: tantivy.TextAnalyzer,
        raw_analyzer: tantivy.TextAnalyzer,
    ) -> None:
        self.stem = stem
        self.raw = raw
        self.stem_analyzer = stem_analyzer
        self.raw_analyzer = raw_analyzer

    def pairs(self, text: str) -> list[tuple[str, str]]:
        """Stem and word of each place in a text."""
        words = self.raw_analyzer.analyze(text)
        if self.raw == self.stem:
            return [(word, word) for word in words]
        return list(zip(self.stem_analyzer.analyze(text), words, strict=True))


def build(
    query: TextQuery,
    fields: Mapping[str, Terms],
    boosts: Mapping[str, float],
    index: tantivy.Index,
    searcher: tantivy.Searcher,
) -> tantivy.Query | None:
    """What to ask tantivy; None if the text holds no words.

    Raises
    ------
    ParameterError
        Text that is not in the query language, where that was asked for.
    """
    maker = _Maker(index, searcher)
    asked = {fields[name]: boost for name, boost in boosts.items()}
    if query.query_syntax:
        return maker.parsed(query.text, fields, boosts)
    text = normal(query.text)
    if query.match == "phrase":
        return maker.phrase(text, query.slop, asked)
    if query.match == "all":
        return maker.all_words(text, asked, query.fuzzy, query.prefix)
    return maker.any_word(text, asked, query.fuzzy, query.prefix)


class _Maker:
    def __init__(self, index: tantivy.Index, searcher: tantivy.Searcher) -> None:
        import tantivy

        self.query = tantivy.Query
        self.occur = tantivy.Occur
        self.index = index
        self.searcher = searcher

    def parsed(
        self, text: str, fields: Mapping[str, Terms], boosts: Mapping[str, float]
    ) -> tantivy.Query:
        names = {fields[name].stem: boost for name, boost in boosts.items()}
        try:
            return self.index.parse_query(
                normal(text), default_field_names=list(names), field_boosts=names
            )
        except ValueError as error:
            raise ParameterError(f"expected a query in tantivy's language: {error}") from error

    def phrase(self, text: str, slop: int, asked: Mapping[Terms, float]) -> tantivy.Query | None:
        parts = []
        for field, boost in asked.items():
            words = field.stem_analyzer.analyze(text)
            if len(words) == 1:
                parts.append(self.term(field, words[0], boost))
            elif words:
                # tantivy ends the thread on a phrase of one word.
                made = self.query.phrase_query(self.index.schema, field.stem, list(words), slop)
                parts.append(self.query.boost_query(made, boost))
        return self.some(parts)

    def any_word(
        self, text: str, asked: Mapping[Terms, float], fuzzy: int, prefix: bool
    ) -> tantivy.Query | None:
        parts = []
        for field, boost in asked.items():
            pairs = field.pairs(text)
            counts = Counter(pairs)
            last = pairs[-1] if pairs and prefix else None
            for pair in rarest(field, counts, self.searcher):
                factor = boost * counts[pair]
                parts.append(self.word(field, pair, factor, fuzzy, pair == last))
        return self.some(parts)

    def all_words(
        self, text: str, asked: Mapping[Terms, float], fuzzy: int, prefix: bool
    ) -> tantivy.Query | None:
        each = {field: field.pairs(text) for field in asked}
        places = max((len(pairs) for pairs in each.values()), default=0)
        if places > MOST_TERMS:
            raise ParameterError(f"expected {MOST_TERMS} words or fewer to match, got {places}")
        needed = []
        for place in range(places):
            last = prefix and place == places - 1
            parts = [
                self.word(field, pairs[place], asked[field], fuzzy, last)
                for field, pairs in each.items()
            ]
            if (some := self.some(parts)) is not None:
                needed.append(some)
        if len(needed) < 2:
            return needed[0] if needed else None
        return self.query.boolean_query([(self.occur.Must, part) for part in needed])

    def word(
        self, field: Terms, pair: tuple[str, str], boost: float, fuzzy: int, prefix: bool
    ) -> tantivy.Query:
        """One word: by its stem and, if asked for, by its likes."""
        stem, word = pair
        exact = self.term(field, stem, boost)
        likes = []
        if prefix:
            likes.append(self.alike(field, word, 0, True, boost))
        steps = range(1, edits_for(word, fuzzy) + 1)
        likes += [self.alike(field, word, edits, prefix, boost) for edits in steps]
        found = [like for like in likes if like is not None]
        if not found:
            return exact
        return self.query.disjunction_max_query([exact, *found])

    def alike(
        self, field: Terms, word: str, edits: int, prefix: bool, boost: float
    ) -> tantivy.Query | None:
        """Find words like this one.

        Together they score as one word that stands once in a text of average length, halved with
        each edit: tantivy itself gives each such text a 1.
        """
        like = self.query.fuzzy_term_query(self.index.schema, field.raw, word, edits, True, prefix)
        # tantivy's stubs lack the count.
        found: Any = self.searcher.search(like, limit=1, count=True)
        count = int(found.count)
        if not count:
            return None
        texts = self.searcher.num_docs
        idf = math.log1p(max(texts - count + 0.5, 0.0) / (count + 0.5))
        return self.query.const_score_query(like, boost * idf * 0.5**edits)

    def term(self, field: Terms, text: str, boost: float) -> tantivy.Query:
        # "freq": without positions, which cost a third of the time and serve phrases alone.
        made = self.query.term_query(self.index.schema, field.stem, text, "freq")
        return made if boost == 1 else self.query.boost_query(made, boost)

    def some(self, parts: list[tantivy.Query]) -> tantivy.Query | None:
        if len(parts) < 2:
            return parts[0] if parts else None
        return self.query.boolean_query([(self.occur.Should, part) for part in parts])


def rarest(
    field: Terms, pairs: Mapping[tuple[str, str], int], searcher: tantivy.Searcher
) -> Iterable[tuple[str, str]]:
    """The terms that are searched, of those that a query holds."""
    if len(pairs) <= MOST_TERMS:
        return pairs

    texts = {pair: searcher.doc_freq(field.stem, pair[0]) for pair in pairs}
    return sorted((pair for pair in pairs if texts[pair]), key=texts.__getitem__)[:MOST_TERMS]


def edits_for(word: str, fuzzy: int) -> int:
    """Short words are an edit away from too many others (as Elasticsearch's "AUTO")."""
    return min(fuzzy, 0 if len(word) < 3 else 1 if len(word) < 6 else 2)
