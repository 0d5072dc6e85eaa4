"""The C++ core of annx."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

class Filter:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

class Core:
    def __init__(
        self,
        dim: int,
        metric: str,
        codec: str,
        M: int,
        ef_construction: int,
        seed: int,
        keep: str = "",
        wide: bool = False,
        edge_bits: int = 0,
    ) -> None: ...
    def __len__(self) -> int: ...
    def reserve(self, capacity: int) -> None: ...
    def find_bad_row(self, rows: NDArray[Any]) -> tuple[int, str] | None: ...
    def add(
        self,
        rows: NDArray[Any],
        labels: NDArray[np.int64] | None,
        num_threads: int,
        poll: Callable[[int], None] | None = None,
        upsert: bool = False,
    ) -> None: ...
    def remove(
        self,
        labels: NDArray[np.int64],
        num_threads: int,
        poll: Callable[[int], None] | None = None,
    ) -> None: ...
    def compact(self, num_threads: int, poll: Callable[[int], None] | None = None) -> None: ...
    def repair(
        self, seconds: float, num_threads: int, poll: Callable[[int], None] | None = None
    ) -> int: ...
    def search(
        self,
        queries: NDArray[Any],
        k: int,
        ef_search: int,
        num_threads: int,
        poll: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...
    def exact_search(
        self,
        queries: NDArray[Any],
        k: int,
        num_threads: int,
        poll: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]: ...
    def make_filter(self, labels: NDArray[np.int64] | NDArray[np.bool_], allow: bool) -> Filter: ...
    def planned_search(
        self,
        queries: NDArray[Any],
        k: int,
        ef_search: int,
        filters: list[Any],
        exact: bool,
        num_threads: int,
        poll: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]: ...
    def range_search(
        self,
        queries: NDArray[Any],
        radius: float,
        ef_search: int,
        filters: list[Any],
        exact: bool,
        num_threads: int,
        poll: Callable[[int], None] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]: ...
    def get(self, labels: NDArray[np.int64]) -> NDArray[Any]: ...
    def contains(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]: ...
    def labels(self) -> NDArray[np.int64]: ...
    def encode(
        self, rows: NDArray[Any], num_threads: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.float32] | None]: ...
    def export_state(self) -> dict[str, Any]: ...
    def import_state(self, state: dict[str, Any]) -> None: ...
    def map_state(
        self, arrays: dict[str, Any], sums: dict[str, tuple[int, NDArray[np.uint32]]]
    ) -> None: ...
    def memory(self) -> dict[str, int]: ...

def check_state(
    dim: int,
    metric: str,
    codec: str,
    keep: str,
    M: int,
    state: dict[str, Any],
    spanning: bool,
    num_threads: int,
) -> None: ...
def block_sums(data: Buffer, num_threads: int) -> NDArray[np.uint32]: ...
def cpu_info() -> dict[str, Any]: ...
def kernel_distance(
    isa: str, operation: str, type: str, query: Buffer, row: Buffer, dim: int
) -> float: ...
def kernel_distances(
    isa: str,
    operation: str,
    type: str,
    query: Buffer,
    rows: Buffer,
    stride: int,
    dim: int,
    slots: NDArray[np.uint32] | None = None,
) -> NDArray[np.float32]: ...
def kernel_estimates(
    isa: str,
    bits: int,
    query: Buffer,
    scale: float,
    offset: float,
    edges: Buffer,
    groups: int,
    near: float,
    weight: float,
    limit: float,
) -> tuple[NDArray[np.float32], int]: ...
def kernel_fine_dot(isa: str, query: Buffer, high: Buffer, low: Buffer, dim: int) -> float: ...
def kernel_planes(
    isa: str,
    whole: bool,
    query: Buffer,
    rows: Buffer,
    stride: int,
    dim: int,
    slots: NDArray[np.uint32] | None = None,
) -> NDArray[np.float32]: ...
def kernel_hadamard(isa: str, x: NDArray[np.float32]) -> NDArray[np.float32]: ...
def kernel_crc32(isa: str, data: Buffer) -> int: ...
