"""The libraries that can be compared, each if it is installed."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from annx._bench.engines.base import Engine, Setting, Spec

__all__ = ["LIBRARIES", "Engine", "Library", "Setting", "Spec", "engine_class", "installed", "make"]


@dataclass(frozen=True, slots=True)
class Library:
    """Where a library's engines are.

    Attributes
    ----------
    package : str
        What to install.
    module : str
        What to import.
    variants : dict of str to str
        Of each variant, the engine's module and class.
    usual : tuple of str
        Variants that are compared unless others are asked for; all if empty.
    """

    package: str
    module: str
    variants: dict[str, str]
    usual: tuple[str, ...] = ()


_ANNX = "_annx.AnnxEngine"

#: By the name that users give; the order is that of tables.
LIBRARIES: dict[str, Library] = {
    "annx": Library("annx", "annx", {}),
    "hnswlib": Library("hnswlib", "hnswlib", {"": "_hnswlib.HnswlibEngine"}),
    "symqg": Library("rabitqlib", "rabitqlib", {"": "_symqg.SymqgEngine"}),
    "vsag": Library(
        "pyvsag",
        "pyvsag",
        {"sq8_uniform": "_vsag.VsagEngine", "sq4_uniform": "_vsag.VsagEngine"},
        usual=("sq8_uniform",),
    ),
    "faiss": Library(
        "faiss-cpu",
        "faiss",
        {"hnsw-sq8": "_faiss.FaissHnswEngine", "ivf-pq-fs": "_faiss.FaissIvfEngine"},
    ),
    "usearch": Library(
        "usearch",
        "usearch",
        {"f32": "_usearch.UsearchEngine", "i8": "_usearch.UsearchEngine"},
    ),
    "voyager": Library("voyager", "voyager", {"": "_voyager.VoyagerEngine"}),
    "scann": Library("scann", "scann", {"": "_scann.ScannEngine"}),
    "svs": Library(
        "scalable-vs",
        "svs",
        {"f32": "_svs.SvsEngine", "f16": "_svs.SvsEngine"},
        usual=("f16",),
    ),
    "ngt": Library("ngt", "ngtpy", {"onng": "_ngt.NgtEngine"}),
}


def installed(library: str) -> bool:
    """Whether the package of a library is there."""
    return importlib.util.find_spec(LIBRARIES[library].module) is not None


def engine_class(spec: Spec) -> type[Engine]:
    """Find the engine of a library's variant, without loading the library."""
    where = _ANNX if spec.library == "annx" else LIBRARIES[spec.library].variants[spec.variant]
    module, _, name = where.partition(".")
    found: type[Engine] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return found


def make(spec: Spec, dim: int) -> Engine:
    """Create an empty index of `dim` elements (bits, under the Hamming metric)."""
    return engine_class(spec)(spec, dim)
