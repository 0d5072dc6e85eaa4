"""Documents with vectors, text and metadata that survive a crash."""

from __future__ import annotations

from annx.collection._fusion import fuse
from annx.collection._hits import Explanation, Found, Hit, Hits
from annx.collection._prior import Decay, Popularity, Prior
from annx.collection._schema import SparseField, VectorField
from annx.collection._snippets import Highlight
from annx.collection._text import TextField, TextQuery
from annx.collection.collection import Collection

__all__ = [
    "Collection",
    "Decay",
    "Explanation",
    "Found",
    "Highlight",
    "Hit",
    "Hits",
    "Popularity",
    "Prior",
    "SparseField",
    "TextField",
    "TextQuery",
    "VectorField",
    "fuse",
]
