"""A fork waits until every index is whole, and gives the child locks that nobody holds."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from typing import Any

_watched: weakref.WeakSet[Any] = weakref.WeakSet()
_held = ExitStack()


def watch(parts: Any) -> None:
    """Look after an object with the locks of `renew_locks` at every fork."""
    _watched.add(parts)


def _before() -> None:
    for parts in list(_watched):
        _held.enter_context(parts._lock.reading())


def _in_parent() -> None:
    _held.close()


def _in_child() -> None:
    _held.pop_all()
    for parts in list(_watched):
        parts.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
