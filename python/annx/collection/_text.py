"""How text becomes terms, and what a keyword query asks for."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from annx import _validate
from annx.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    import tantivy

#: Languages whose words can be stemmed: ISO 639-1 codes and tantivy's names.
LANGUAGES = {
    "ar": "arabic",
    "hy": "armenian",
    "eu": "basque",
    "ca": "catalan",
    "da": "danish",
    "nl": "dutch",
    "en": "english",
    "et": "estonian",
    "fi": "finnish",
    "fr": "french",
    "de": "german",
    "el": "greek",
    "hi": "hindi",
    "hu": "hungarian",
    "id": "indonesian",
    "ga": "irish",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "es": "spanish",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}

# Words are runs of letters, digits and marks. Scripts that put no space between words, and symbols
# such as emoji, give a term a character: a run of them would be found as a whole or not at all.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[\p{{L}}\p{{N}}\p{{M}}--[{_UNSPACED}]]+|[{_UNSPACED}\p{{So}}]"

#: Changes with everything that makes other terms of a text: an index by other rules is of no use.
RULES = 1

# Bytes. Longer runs are no words (hashes, base64), and tantivy holds no term above 65,530.
LONGEST_TERM = 255

# Words of the longest text that a document may hold.
_MOST_SLOP = 1 << 30


@dataclass(frozen=True, slots=True)
class TextField:
    """A text field that keyword search looks into.

    Parameters
    ----------
    language : str, optional
        Words are reduced to their stems by the rules of this language, ``"en"`` or ``"english"``.
        None: words as they are.
    boost : float
        Its weight among the fields of a query that names none.
    fold : bool
        Drop accents, so that "cafe" finds "café".

    Raises
    ------
    SchemaError
        An unknown language, a boost that is not above 0.
    """

    language: str | None = None
    boost: float = 1.0
    fold: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.boost, bool) or not isinstance(self.boost, (int, float)):
            raise SchemaError(f"expected boost as a number, got {self.boost!r}")
        if not 0 < self.boost < float("inf"):
            raise SchemaError(f"expected a boost above 0, got {self.boost}")
        if self.language is not None:
            name = LANGUAGES.get(self.language, self.language)
            if name not in LANGUAGES.values():
                known = ", ".join(LANGUAGES)
                raise SchemaError(f"expected a language of {known}, got {self.language!r}")
            object.__setattr__(self, "language", name)


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A keyword query with options; a plain string is one without.

    Parameters
    ----------
    text : str
        Words. Nothing in them is an operator unless `query_syntax` is set.
    fields : mapping of str to float, or sequence of str, optional
        Where to look, with boosts; by default in all text fields with theirs.
    match : {"any", "all", "phrase"}
        Any of the words, all of them (each in any field), or all one after another in one field.
    slop : int
        Of "phrase": how many places words may be out of place.
    fuzzy : {0, 1, 2}
        Find words that are this many edits away, too.
    prefix : bool
        The last word may be the beginning of one.
    query_syntax : bool
        `text` is in tantivy's query language: ``title:"data engineer" +oslo -junior``.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> from annx.collection import TextQuery
    >>> TextQuery("senior data engineer", match="phrase", slop=1).match
    'phrase'
    """

    text: str
    fields: Mapping[str, float] | Sequence[str] | None = None
    match: Literal["any", "all", "phrase"] = "any"
    slop: int = 0
    fuzzy: Literal[0, 1, 2] = 0
    prefix: bool = False
    query_syntax: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ParameterError(f"expected text to search, got {type(self.text).__name__}")
        if self.match not in ("any", "all", "phrase"):
            raise ParameterError(f"expected match 'any', 'all' or 'phrase', got {self.match!r}")
        if self.fuzzy not in (0, 1, 2):
            raise ParameterError(f"expected fuzzy 0, 1 or 2, got {self.fuzzy!r}")
        _validate.integer(self.slop, "slop", 0, _MOST_SLOP)
        if self.slop and self.match != "phrase":
            raise ParameterError("expected slop with match='phrase' alone")
        if self.match == "phrase" and (self.fuzzy or self.prefix):
            raise ParameterError("expected a phrase without fuzzy and prefix")
        if self.query_syntax and (self.match != "any" or self.fuzzy or self.prefix):
            raise ParameterError("expected query_syntax without match, fuzzy and prefix")

    def boosts(self, fields: Mapping[str, TextField]) -> dict[str, float]:
        """Fields to search, with their boosts.

        Raises
        ------
        ParameterError
            A field that is not a text field, a boost that is not above 0.
        """
        known = {name: field.boost for name, field in fields.items()}
        if self.fields is None:
            return known
        if isinstance(self.fields, str):
            raise ParameterError("expected fields as a list or with boosts, got a string")
        asked = (
            dict(self.fields)
            if isinstance(self.fields, Mapping)
            else {name: known.get(name, 1.0) for name in _validate.names(self.fields, "fields")}
        )
        for name, boost in asked.items():
            if name not in known:
                raise ParameterError(f"expected text fields of {sorted(known)}, got {name!r}")
            if not 0 < _validate.number(boost, f"the boost of {name!r}") < float("inf"):
                raise ParameterError(f"expected a boost above 0 for {name!r}, got {boost}")
        return asked


def normal(text: str) -> str:
    """The composed form: an accent typed apart is found by one typed together.

    Raises
    ------
    ParameterError
        Half a surrogate pair, which is no text.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(f"expected text, got half a character at {error.start}") from None
    return unicodedata.normalize("NFC", text)


def texts(value: Any) -> list[str]:
    """Strings of a document's text field: one, a list of them, or none."""
    if isinstance(value, str):
        return [normal(value)]
    if isinstance(value, (list, tuple)):
        return [normal(item) for item in value if isinstance(item, str)]
    return []


def analyzer(field: TextField, *, stemmed: bool) -> tantivy.TextAnalyzer:
    """What makes the terms of a field."""
    import tantivy

    filters = tantivy.Filter
    chain = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(_WORD))
    chain = chain.filter(filters.remove_long(LONGEST_TERM)).filter(filters.lowercase())
    if stemmed and field.language is not None:
        chain = chain.filter(filters.stemmer(field.language))
    if field.fold:
        chain = chain.filter(filters.ascii_fold())
    return chain.build()
