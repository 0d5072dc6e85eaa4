"""Recommendations of implicit's factor models, searched for instead of scored one by one."""

from __future__ import annotations

from annx.integrations.implicit._model import AnnxModel

__all__ = ["AnnxModel"]
