"""An index as bytes: files, pickles and copies."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from typing import Any, BinaryIO, Protocol, Self, cast, runtime_checkable

from annx import _atomic, _choose, _format, _log, _tune, _validate
from annx._backends import select
from annx._backends.base import Core, Mapped
from annx._describe import Described
from annx._journal import SETTINGS, Change, Journal
from annx.errors import AnnxError, FormatError, ParameterError

#: Seconds that a save waits for an add that is at work.
_PATIENCE = 1.0
#: Bytes of changes that are always kept for an incremental save, and always written by one.
_ALWAYS = 1 << 20
#: Beyond these shares of the file, writing it whole takes little longer than the changes do
#: (they are kept in memory), or reading the changes longer than the rest (they are made again).
_JOURNAL_SHARE, _LOG_SHARE = 16, 4


@runtime_checkable
class SupportsWrite(Protocol):
    """An open binary file."""

    def write(self, data: Any, /) -> Any:
        """Write bytes, and return how many of them."""


def _worth(stored: _format.Stored) -> int:
    """Bytes of changes that are worth keeping beside the file they were made to."""
    state = stored.state
    return max(_ALWAYS, (state.rows.nbytes + state.links.nbytes) // _JOURNAL_SHARE)


def _settings(stored: _format.Stored) -> _log.Settings:
    tuning = b"" if stored.tuning is None else stored.tuning.tobytes()
    return _log.Settings(stored.ef_search, tuning)


class Persisted(Described):
    """The part of `Index` that writes and restores it."""

    _preset: str | None
    _capacity: int
    _keep: str
    _curves: _tune.Curves
    _source: str
    _adding: Lock
    _saving: Lock
    _journal: Journal
    _on_disk: _log.OnDisk | None
    _next_label: int | None
    _least_label: int

    def _replay(self, change: Change) -> None:
        raise NotImplementedError

    def _set_up(
        self, core: Core, choice: _choose.Choice, ef_search: int, num_threads: int | None
    ) -> None:
        raise NotImplementedError

    def save(
        self, path: str | os.PathLike[str] | SupportsWrite, *, incremental: bool = False
    ) -> None:
        """Write the index to a file, whole or not at all.

        An older file stays until the new one is complete and on disk, whatever happens
        meanwhile; when this returns, the new one is there even after a loss of power.

        Parameters
        ----------
        path : str, path-like or binary file
            An open file is written to from where it stands, and not synced.
        incremental : bool
            Add what has changed to the file that this index was loaded from or last saved
            to, in time that follows the change and not the index. `load` makes the changes
            again. The whole index is written all the same if there is no file yet, or if
            that costs little more: after more changes than a sixteenth of the file (and
            1 MB), after `repair` and interrupted calls, and when what was added would
            exceed a quarter of the file (and 1 MB).

        Raises
        ------
        OSError
            The file cannot be written; it names the path, and an older file is unharmed.
        ConflictError
            With `incremental`: the file is not the one that this index was loaded from or
            last saved to, has changed since, or is being written to by somebody else.

        Notes
        -----
        The file holds every call of `add`, `update` and `remove` that had returned before.
        Of one that goes on meanwhile it holds nothing, or rows that were finished first.

        Examples
        --------
        >>> import annx, os, tempfile
        >>> index = annx.Index(2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "points.annx")
        ...     index.save(path)
        ...     _ = index.add([[0.5, 0], [3, 4]])
        ...     index.save(path, incremental=True)
        ...     annx.load(path)
        <annx.Index 2 x 2 l2 f32>
        """
        if isinstance(path, SupportsWrite):
            if incremental:
                raise ParameterError("incremental goes with the path of a file alone")
            _format.write(cast(BinaryIO, _atomic.Output(path.write)), self._stored())
            return
        name = os.fspath(path)
        with self._saving:
            if not incremental or not os.path.lexists(name):
                self._save_whole(name)
                return
            with _log.hold(name, self._on_disk) as (descriptor, state):
                done = self._save_changes(descriptor, state)
                if done:
                    _log.still_there(name, descriptor)
                elif os.name == "posix":
                    self._save_whole(name)
                    done = True
            if not done:  # Windows replaces no file that is open
                self._save_whole(name)

    def _save_whole(self, path: str) -> None:
        # While no add is at work, the journal can go on from what is exported. A long add is
        # not waited for; then nothing is known, and the next save is a whole one too.
        settled = self._adding.acquire(timeout=_PATIENCE)
        try:
            stored = self._stored()
            was_complete = self._journal.complete
            count = self._journal.begin(_worth(stored))
        finally:
            if settled:
                self._adding.release()
        written: list[_log.Tail] = []
        try:
            _atomic.write(path, lambda file: written.append(_format.write(file, stored)))
        except BaseException:
            if not was_complete:
                self._journal.give_up()
            # If it was the folder that was not synced, the new file may be there or not.
            self._on_disk = self._on_disk or _log.OnDisk(_settings(stored))
            self._on_disk.states += [replace(tail, place=0) for tail in written]
            raise
        self._on_disk = _log.OnDisk(_settings(stored), *written)
        if settled:
            self._journal.settle(count)
        else:
            self._journal.give_up()

    def _save_changes(self, descriptor: int, state: _log.Tail) -> bool:
        """Add what has changed to a file that is held, unless a whole one is called for."""
        known = self._on_disk
        changes = self._journal.so_far()
        if known is None or changes is None or not known.sound or not state.place:
            return False
        # After the changes: what `tune` measured before a change of codec is gone by then.
        settings = _log.Settings(self._ef_search, _tune.to_array(self._curves).tobytes())
        new = settings if settings != known.settings else None
        if not changes and new is None:
            return True
        payload = _log.encode(changes, new)
        length = state.end - state.base + len(payload)
        if length > max(_ALWAYS, state.base // _LOG_SHARE):
            return False
        _log.append(descriptor, state, payload, known)
        known.settings = settings
        self._journal.settle(len(changes))
        return True

    def to_bytes(self) -> bytes:
        """Return the bytes that `save` writes.

        Examples
        --------
        >>> import annx
        >>> index = annx.Index(2)
        >>> annx.Index.from_bytes(index.to_bytes())
        <annx.Index 0 x 2 l2 f32>
        """
        return _format.dumps(self._stored())

    @classmethod
    def from_bytes(cls, data: bytes, *, num_threads: int | None = None) -> Self:
        """Restore what `to_bytes` returned.

        Parameters
        ----------
        data : bytes
        num_threads : int, optional
            As for the constructor.

        Raises
        ------
        FormatError
            `data` is not a valid index.

        Examples
        --------
        >>> import annx
        >>> len(annx.Index.from_bytes(annx.Index(2).to_bytes()))
        0
        """
        return cls._restore(_format.loads(bytes(data)), num_threads)

    @classmethod
    def _restore(
        cls,
        stored: _format.Stored,
        num_threads: int | None,
        *,
        follow: bool = False,
        mapped: Mapped | None = None,
    ) -> Self:
        """Make an index of what a file holds.

        With `follow`, its changes can be added to that file. With `mapped`, it stays there.
        """
        index = cls.__new__(cls)
        if mapped is None:
            core = select.create(stored.config)
            core.import_state(stored.state)
        else:
            core = select.create(replace(stored.config, edge_bits=0))
            core.map_state(stored.state, mapped)
        index._preset, index._keep, index._capacity = stored.preset, stored.keep, 0
        why = "as stored in the file"
        if stored.preset is not None:
            why = f"{stored.preset}: the first rows will decide"
        choice = _choose.Choice(stored.config, why)
        index._set_up(core, choice, stored.ef_search, num_threads)
        index._source = "file"
        index._least_label = stored.next_label
        index._mapped = None if mapped is None else stored.state
        if stored.tuning is not None:
            index._curves = _tune.from_array(stored.tuning)
        if stored.tail is not None:
            for number, change in enumerate(stored.tail.changes, 1):
                index._restore_change(number, change)
            if follow:
                tuning = _tune.to_array(index._curves).tobytes()
                settings = _log.Settings(index._ef_search, tuning)
                index._on_disk = _log.OnDisk(settings, replace(stored.tail, changes=()))
                index._journal.begin(_worth(stored))
        return index

    def _restore_change(self, number: int, change: Change) -> None:
        try:
            if change.kind != SETTINGS:
                self._replay(change)
                return
            ef_search, points = _log.settings_of(change)
            self._ef_search = _validate.integer(ef_search, "ef_search", 1, _validate.MAX_EF)
            self._curves = _tune.from_array(points)
        except AnnxError as error:
            raise FormatError(f"change {number} of the log: {error}") from None

    def __reduce__(self) -> tuple[Callable[[bytes], Self], tuple[bytes]]:
        return type(self).from_bytes, (self.to_bytes(),)

    def _stored(self) -> _format.Stored:
        # An add may be at work, and change the codec.
        with self._switching:
            core, config, preset, curves = self._core, self._config, self._preset, self._curves
        state = core.export_state()
        following = self._next_label
        if following is None:
            # Not kept: the add that is at work knows better.
            following = max(self._least_label, int(state.labels.max(initial=-1)) + 1)
        return _format.Stored(
            config,
            self._ef_search,
            state,
            preset,
            self._keep,
            _tune.to_array(curves),
            next_label=following,
        )
