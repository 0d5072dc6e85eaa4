"""Vectors to try things on: files, public sets, generators.

Reads NumPy (.npy, .npz), the TEXMEX formats (.fvecs, .bvecs, .ivecs), those of
big-ann-benchmarks (.fbin, .u8bin, .i8bin, .ibin), HDF5 as ann-benchmarks lays it out (.hdf5,
.h5) and Parquet.
"""

from annx.datasets._dataset import Dataset, read_dataset
from annx.datasets._fetch import cache_folder, fetch
from annx.datasets._generate import GENERATORS, generate
from annx.datasets._public import PUBLIC, PublicSet
from annx.datasets._read import SUFFIXES, read, write

__all__ = [
    "GENERATORS",
    "PUBLIC",
    "SUFFIXES",
    "Dataset",
    "PublicSet",
    "cache_folder",
    "fetch",
    "generate",
    "read",
    "read_dataset",
    "write",
]
