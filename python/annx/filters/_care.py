"""Whether what several steps change was left halfway."""

from __future__ import annotations

from types import TracebackType

from annx.errors import AnnxError, StorageError


class Care:
    """Marks what is changed in its block as torn until the block ends well.

    Ctrl-C may come between any two steps, and memory run out; an error of annx is raised before
    the first.

    Attributes
    ----------
    torn : bool
    """

    def __init__(self) -> None:
        self.torn = False

    def __enter__(self) -> None:
        if self.torn:
            raise StorageError("a call was interrupted halfway, and what it changed is of no use")
        self.torn = True

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, AnnxError):
            self.torn = False
