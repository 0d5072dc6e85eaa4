"""A fork waits until every index is whole, and gives the child locks that nobody holds."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from typing import Any

from numba.core.compiler_lock import global_compiler_lock

_watched: weakref.WeakSet[Any] = weakref.WeakSet()
_held = ExitStack()
_compiler: Any = global_compiler_lock


def watch(parts: Any) -> None:
    """Look after an object with the locks of `renew_locks` at every fork."""
    _watched.add(parts)


def _before() -> None:
    for parts in list(_watched):
        _held.enter_context(parts._lock.reading())
    # Last: whoever compiles waits for no index. A child whose parent compiles on another thread
    # could never compile.
    _compiler.acquire()


def _in_parent() -> None:
    _compiler.release()
    _held.close()


def _in_child() -> None:
    _compiler.release()
    _held.pop_all()
    for parts in list(_watched):
        parts.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
