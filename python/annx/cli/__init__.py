"""The ``annx`` command. Needs click and rich, the extra ``annx[cli]``."""

from __future__ import annotations

import sys
import warnings

__all__ = ["main"]


def main() -> None:
    """Run the command line; the console script's entry point."""
    try:
        from annx.cli._app import cli
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(f"annx: {error.name} is not installed: pip install 'annx[cli]'")
    # One line, as errors are: where in the source a warning arose helps no one here.
    warnings.formatwarning = lambda message, *_: f"annx: {message}\n"
    cli(prog_name="annx")
