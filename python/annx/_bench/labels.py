"""Where names stand beside their marks, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Width of a letter at most, on average: fonts differ. Height of a line.
_LETTER, _LINE = 7.6, 14.0
#: Between a mark's middle and its name; half of what a mark takes.
_GAP, _MARK = 8.0, 5.0
#: Lines up or down that a name may move.
_LINES = 6


class Box(NamedTuple):
    """From left to right and from top to bottom, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: Box) -> float:
        """Area that is in both."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0) * max(height, 0)


def placed(marks: Sequence[tuple[float, float, str]], frame: Box) -> list[Box]:
    """Choose a place for each name: beside its mark, or a few lines above or below.

    Parameters
    ----------
    marks : sequence of (float, float, str)
        Middle of a mark, and its name.
    frame : Box
        Nothing may stand outside.

    Returns
    -------
    list of Box
        The nearest places that cover no mark and no earlier name; where there are none,
        those that cover least.
    """
    taken = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y, _ in marks]
    names: list[Box] = []
    for x, y, name in marks:
        wide = _LETTER * len(name)
        steps = sorted(range(-_LINES, _LINES + 1), key=abs)
        boxes = [
            Box(left, y + (step - 0.5) * _LINE, left + wide, y + (step + 0.5) * _LINE)
            for step in steps
            for left in (x + _GAP, x - _GAP - wide)
        ]
        inside = [b for b in boxes if b.shared(frame) == b.shared(b)] or boxes[:1]
        best = min(inside, key=lambda box: sum(box.shared(other) for other in taken))
        names.append(best)
        taken.append(best)
    return names
