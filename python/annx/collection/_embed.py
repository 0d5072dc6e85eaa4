"""Vectors made of text, by a model that the caller brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from annx._rows import read_array
from annx.collection._documents import Label, check_documents
from annx.collection._schema import Schema
from annx.errors import DimensionError, ParameterError, SchemaError

#: Texts in, an array of as many rows out.
Embed = Callable[[list[str]], Any]


class Embedder:
    """The models of a collection's vector fields.

    Parameters
    ----------
    schema : Schema
    given : callable, object with ``encode``, mapping of field to these, or None

    Raises
    ------
    SchemaError
        A model for a field that does not exist or has no text to be made of.
    ParameterError
        Not a model.
    """

    def __init__(self, schema: Schema, given: Any) -> None:
        self._schema = schema
        self._models: dict[str, Embed] = {}
        if given is None:
            return
        if not isinstance(given, Mapping):
            if len(schema.embed_from) != 1:
                raise SchemaError(
                    f"expected embed as a mapping of fields of {list(schema.embed_from)} to models"
                )
            given = dict.fromkeys(schema.embed_from, given)
        for name, model in given.items():
            if name not in schema.embed_from:
                raise SchemaError(f"embed: {name!r} is not made of text; embed_from says what is")
            # A model of sentence-transformers is callable too, with something else.
            embed = getattr(model, "encode", model)
            if not callable(embed):
                raise ParameterError(f"expected embed as a callable over texts, got {model!r}")
            self._models[name] = embed

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def embed(self, name: str, texts: Sequence[str]) -> NDArray[Any]:
        """Make vectors of texts.

        Parameters
        ----------
        name : str
            The vector field.
        texts : sequence of n str

        Returns
        -------
        ndarray of shape (n, dim)

        Raises
        ------
        ParameterError
            There is no model for the field.
        DimensionError
            The model returned something else than n rows.
        """
        if name not in self._models:
            raise ParameterError(f"vector field {name!r} has no embed; pass it to open")
        rows = read_array(self._models[name](list(texts))).array
        if rows.ndim != 2 or len(rows) != len(texts):
            raise DimensionError(
                f"expected embed to return {len(texts)} rows for as many texts, "
                f"got shape {rows.shape}"
            )
        return rows

    def fill(self, documents: Sequence[Mapping[str, Any]], label: Label) -> list[Any]:
        """Give documents the vectors that they lack, if they have text to make them of."""
        check_documents(documents, label)
        filled = list(documents)
        for name in self._models:
            places, texts = [], []
            for place, document in enumerate(filled):
                if document.get(name) is None and (text := self._source(name, document)):
                    places.append(place)
                    texts.append(text)
            if texts:
                for place, row in zip(places, self.embed(name, texts), strict=True):
                    filled[place] = {**filled[place], name: row}
        return filled

    def stale(self, document: Mapping[str, Any], changed: Mapping[str, Any]) -> list[str]:
        """Vector fields to be made again when a document changes in parts."""
        return [
            name
            for name in self._models
            if name not in changed
            and self._source(name, document) != self._source(name, {**document, **changed})
        ]

    def _source(self, name: str, document: Mapping[str, Any]) -> str:
        parts = [document.get(source) for source in self._schema.embed_from[name]]
        return "\n".join(part for part in parts if isinstance(part, str) and part)
