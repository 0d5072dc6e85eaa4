"""Locks after a fork: in the child, whoever held them is gone."""

from __future__ import annotations

import os
import weakref
from threading import Lock, RLock
from typing import Any

_watched: weakref.WeakSet[Any] = weakref.WeakSet()
_owners: weakref.WeakSet[Any] = weakref.WeakSet()


def renew(index: Any) -> None:
    """Give an index its locks, and new ones in every child that is forked."""
    index._adding = Lock()
    index._tuning = RLock()
    index._saving = Lock()
    index._switching = Lock()
    index._journal.renew()
    _watched.add(index)


def give_lock(owner: Any) -> None:
    """Give an object one lock, `_adding`, and a new one in every child that is forked."""
    owner._adding = Lock()
    _owners.add(owner)


def _renew_all() -> None:
    for index in list(_watched):
        renew(index)
    for owner in list(_owners):
        give_lock(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
