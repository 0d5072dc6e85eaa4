"""Import of packages that one extra of annx needs and the core does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from annx.errors import MissingExtraError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Say which extra to install where an import inside fails for want of a package.

    Parameters
    ----------
    name : str
        The extra, as in ``pip install 'annx[name]'``.

    Raises
    ------
    MissingExtraError
        A package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed: pip install 'annx[{name}]'", name=error.name
        ) from error
