"""Documents with vectors, text and metadata that survive a crash."""

from __future__ import annotations

from annx.collection._schema import SparseField, TextField, VectorField
from annx.collection.collection import Collection

__all__ = ["Collection", "SparseField", "TextField", "VectorField"]
