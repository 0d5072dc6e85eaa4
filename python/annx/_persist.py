"""An index as bytes: files, pickles and copies."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Self

from annx import _choose, _format, _tune
from annx._backends import select
from annx._backends.base import Core
from annx._describe import Described


class Persisted(Described):
    """The part of `Index` that writes and restores it."""

    _preset: str | None
    _capacity: int
    _keep: str
    _curves: _tune.Curves
    _source: str

    def _set_up(
        self, core: Core, choice: _choose.Choice, ef_search: int, num_threads: int | None
    ) -> None:
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file, whole or not at all.

        An older file stays until the new one is complete and on disk.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        OSError
            The file cannot be written; an older one is unharmed.

        Examples
        --------
        >>> import annx, os, tempfile
        >>> index = annx.Index(2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     index.save(os.path.join(folder, "points.annx"))
        ...     annx.load(os.path.join(folder, "points.annx"))
        <annx.Index 0 x 2 l2 f32>
        """
        _format.save(path, self._stored())

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
    def _restore(cls, stored: _format.Stored, num_threads: int | None) -> Self:
        index = cls.__new__(cls)
        core = select.create(stored.config)
        core.import_state(stored.state)
        index._preset, index._keep, index._capacity = stored.preset, stored.keep, 0
        why = "as stored in the file"
        if stored.preset is not None:
            why = f"{stored.preset}: the first rows will decide"
        choice = _choose.Choice(stored.config, why)
        index._set_up(core, choice, stored.ef_search, num_threads)
        index._source = "file"
        if stored.tuning is not None:
            index._curves = _tune.from_array(stored.tuning)
        return index

    def __reduce__(self) -> tuple[Callable[[bytes], Self], tuple[bytes]]:
        return type(self).from_bytes, (self.to_bytes(),)

    def _stored(self) -> _format.Stored:
        state = self._core.export_state()
        tuning = _tune.to_array(self._curves)
        return _format.Stored(
            self._config, self._ef_search, state, self._preset, self._keep, tuning
        )
