"""Names in plots are readable where marks crowd."""

from __future__ import annotations

import numpy as np
import pytest

from annx._bench.labels import Box, placed

FRAME = Box(66, 10, 784, 360)
NAMES = ["annx auto", "annx compact", "annx turbo", "hnswlib", "faiss ivf-pq-fs", "scann"]


def overlaps(boxes):
    return [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.shared(b) > 0]


def test_alone_beside_its_mark():
    (box,) = placed([(100, 200, "hnswlib")], FRAME)
    assert 105 <= box.left <= 110 and box.top < 200 < box.bottom
    (box,) = placed([(780, 200, "hnswlib")], FRAME)
    assert 770 <= box.right <= 775


@pytest.mark.parametrize("spread", [0, 3, 12, 40])
@pytest.mark.parametrize("middle", [(110, 200), (400, 50), (744, 320)])
def test_no_name_covers_another_or_a_mark(spread, middle):
    rng = np.random.default_rng(spread)
    marks = [(*(np.array(middle) + spread * rng.uniform(-1, 1, 2)), name) for name in NAMES]
    boxes = placed(marks, FRAME)
    assert not overlaps(boxes)
    assert all(box.shared(FRAME) == pytest.approx(box.shared(box)) for box in boxes)
    if middle[0] > 700:  # no room at one side, so that marks may be covered
        return
    for x, y, _ in marks:
        assert all(box.shared(Box(x - 2, y - 2, x + 2, y + 2)) == 0 for box in boxes)


def test_without_room_it_stays_in_the_frame():
    small = Box(0, 0, 130, 40)
    for box in placed([(60, 20, name) for name in NAMES], small):
        assert box.right > 0
