"""Filters: one expression tree, two ways to write it, and columns to evaluate it on.

docs/filters.md has the operators and the rules for missing values, types and dates.
"""

from __future__ import annotations

from annx.filters._columns import Columns
from annx.filters._field import F
from annx.filters._parse import parse
from annx.filters._tree import Expression, all_of, any_of, at_least

__all__ = ["Columns", "Expression", "F", "all_of", "any_of", "at_least", "parse"]
