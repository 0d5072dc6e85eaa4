"""States that no checksum catches: what they contain is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from samples import dump, sample
from sealing import patched, sections

from annx import FormatError, _check, _format
from annx._backends.base import NO_LINK, TREE_FLAG, Config, Level, State


@pytest.fixture(params=["reference", "native"], autouse=True)
def checked_by(request, use_backend):
    """The check in NumPy, and the native one."""
    return use_backend(request.param)


def change(part, place, value):
    def apply(state):
        part(state)[place] = value

    return apply


def links_of(state):
    return state.links


def free(row, content=0):
    """Make a slot free, whatever leads to it."""

    def apply(state):
        state.labels[row] = -1
        state.links[row] = NO_LINK
        state.rows[row] = content
        state.norms[row] = 0

    return apply


def ring(state):
    """Join the ends of a tree that is a path."""
    for row, other in ((0, 4), (4, 0)):
        state.links[row, np.argmax(state.links[row] == NO_LINK)] = other | TREE_FLAG


HOSTILE = {
    "label_twice": (change(lambda s: s.labels, 2, 5), "label 5 appears twice"),
    "removed_twin": (change(lambda s: s.labels, 5, -1), "row 5: a free slot is not zero"),
    "removed_representative": (change(lambda s: s.labels, 4, -1), "twin 0: its .* was removed"),
    "removed_all": (change(lambda s: s.labels, slice(None), -1), "labels: expected a row that"),
    "free_linked": (free(0), "links of row 1: a link to a twin or a free slot"),
    "link_range": (change(links_of, (0, 0), 6 | TREE_FLAG), "links of row 0: .*out of range"),
    "link_far": (change(links_of, (0, 1), 2**30 - 1), "links of row 0: .*out of range"),
    "link_self": (change(links_of, (2, 2), 2), "links of row 2: a link to itself"),
    "link_twice": (change(links_of, (2, 2), 1), "links of row 2: the same link twice"),
    "link_gap": (change(links_of, (0, 2), 3), "links of row 0: a link follows padding"),
    "link_twin": (change(links_of, (2, 2), 5), "links of row 2: a link to a twin"),
    "twin_links": (change(links_of, (5, 0), 1), "links of row 5: a twin has links"),
    "tree_one_way": (change(links_of, (2, 2), 0 | TREE_FLAG), "row .: a tree edge leads one way"),
    "tree_unflagged": (change(links_of, (2, 0), 1), "a tree edge leads one way"),
    "tree_ring": (ring, "links: tree edges form a ring"),
    "row_nan": (change(lambda s: s.rows.view(np.float32), (1, 0), np.nan), "row 1: not finite"),
    "row_inf": (change(lambda s: s.rows.view(np.float32), (1, 0), np.inf), "row 1: not finite"),
    "row_long": (change(lambda s: s.rows.view(np.float32), (1, 0), 1e30), "row 1: not finite"),
    "row_zero": (change(lambda s: s.rows, 1, 0), "row 1: its norm and its elements disagree"),
    "row_not_unit": (change(lambda s: s.rows.view(np.float32), (1, 0), 2), "row 1: its norm"),
    "norm_nan": (change(lambda s: s.norms, 3, np.nan), "row 3: norm is not positive"),
    "norm_zero": (change(lambda s: s.norms, 3, 0), "row 3: norm is not positive"),
    "twin_range": (change(lambda s: s.twins, (0, 0), 6), "twin 0: row out of range"),
    "twin_of_none": (change(lambda s: s.twins, (0, 1), 6), "twin 0: .*out of range"),
    "twin_linked": (change(lambda s: s.twins, 0, (4, 5)), "links of row 3: a link to a twin"),
    "twin_of_itself": (change(lambda s: s.twins, 0, (5, 5)), "twin 0: .* is a twin"),
    "twin_unequal": (change(lambda s: s.twins, (0, 1), 3), "twin 0: differs from its repr"),
    "down_order": (change(lambda s: s.levels[0].down, 1, 4), "level 1, node 2: .*in order"),
    "down_range": (change(lambda s: s.levels[0].down, 2, 6), "level 1, node 2: no such node"),
    "down_twin": (change(lambda s: s.levels[0].down, 2, 5), "level 1, node 2: a twin"),
    "top_range": (change(lambda s: s.levels[1].down, 0, 3), "level 2, node 0: no such node"),
    "upper_range": (change(lambda s: s.levels[0].links, (1, 1), 3), "level 1, node 1: .*range"),
    "upper_self": (change(lambda s: s.levels[0].links, (1, 1), 1), "level 1, node 1: .*itself"),
    "upper_twice": (change(lambda s: s.levels[0].links, (1, 1), 0), "level 1, node 1: .*twice"),
    "upper_flag": (
        change(lambda s: s.levels[0].links, (1, 1), 2 | TREE_FLAG),
        "level 1, node 1: a link is out of range",
    ),
}


@pytest.mark.parametrize(("apply", "text"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_content(apply, text):
    """Checksums are right; what they cover is not."""
    config, state = sample()
    apply(state)
    with pytest.raises(FormatError, match=text):
        _format.loads(dump(config, state))


def test_a_free_slot_is_empty():
    config, state = sample()
    state.twins = np.empty((0, 2), np.uint32)
    for content, text in [(0, None), (1, "row 5: a free slot is not zero")]:
        free(5, content)(state)
        if text is None:
            assert _format.loads(dump(config, state)).state.labels[5] == -1
        else:
            with pytest.raises(FormatError, match=text):
                _format.loads(dump(config, state))


def test_the_flag_of_removal_must_be_right():
    config, state = sample()
    for flag in (0, 1):
        with pytest.raises(FormatError, match="feature flag 1"):
            _format.loads(patched(dump(config, state), 16, "<I", 1 - flag))
        state.labels[0] = -1


def test_removed_rows_are_those_without_a_label():
    config, state = sample()
    state.labels[0] = -1
    data = dump(config, state)
    assert _format.loads(data).state.labels[0] == -1
    place = sections(data)["removed"][0]
    for slot in (1, 6, 2**31, 2**32 - 1):
        with pytest.raises(FormatError, match="section 'removed': labels and links say otherwise"):
            _format.loads(patched(data, place, "<I", slot))


def test_hostile_scale():
    for value, text in [(0, "positive"), (np.nan, "positive"), (np.inf, "positive"), (3, "norm")]:
        config, state = sample("cosine", "i8")
        state.rows[:, -4:] = np.array([value], np.float32).view(np.uint8)
        with pytest.raises(FormatError, match=f"row 0: .*{text}"):
            _format.loads(dump(config, state))


CODES = {
    "step_zero": (lambda s: s.rows[:, 8:].view(np.float32), (2, 0), 0, "row 2: length or step"),
    "step_nan": (lambda s: s.rows[:, 8:].view(np.float32), (2, 0), np.nan, "row 2: length or step"),
    "step_far": (lambda s: s.rows[:, 8:].view(np.float32), (2, 0), 9, "row 2: its length and its"),
    "length_minus": (lambda s: s.rows[:, 4:8].view(np.float32), (2, 0), -1, "row 2: length or"),
    "length_inf": (lambda s: s.rows[:, 4:8].view(np.float32), (2, 0), np.inf, "row 2: length or"),
    "length_far": (lambda s: s.rows[:, 4:8].view(np.float32), (2, 0), 2, "row 2: its length and"),
    "codes_zero": (lambda s: s.rows[:, :4], 2, 0, "row 2: its length and its codes disagree"),
    "kept_nan": (lambda s: s.originals.view(np.float16), (3, 1), np.nan, "original of row 3: not"),
    "kept_inf": (lambda s: s.originals.view(np.float16), (3, 1), np.inf, "original of row 3: not"),
    "twin": (lambda s: s.originals.view(np.float16), (5, 3), 1, "twin 0: differs from its repr"),
}


@pytest.mark.parametrize(("part", "place", "value", "text"), CODES.values(), ids=CODES)
def test_hostile_codes(part, place, value, text):
    config, state = sample("l2", "sq8", "f16")
    state.rows = np.ascontiguousarray(state.rows)
    part(state)[place] = value
    with pytest.raises(FormatError, match=text):
        _format.loads(dump(config, state))


def test_hostile_lengths_of_unit_vectors():
    config, state = sample("cosine", "sq8", "f32")
    state.norms[3] = 0
    with pytest.raises(FormatError, match="row 3: norm is not positive"):
        _format.loads(dump(config, state))
    config, state = sample("cosine", "sq8", "f32")
    state.originals.view(np.float32)[2] *= 2
    with pytest.raises(FormatError, match="original of row 2: its norm"):
        _format.loads(dump(config, state))
    config, state = sample("cosine", "sq8", "f16")
    state.originals[:, -4:].view(np.float32)[1] = 3
    with pytest.raises(FormatError, match="original of row 1: its norm"):
        _format.loads(dump(config, state))
    config, state = sample("cosine", "sq8")
    state.rows[:, 4:8].view(np.float32)[2] = 0
    with pytest.raises(FormatError, match="row 2: zero under cosine"):
        _format.loads(dump(config, state))
    config, state = sample("ip", "sq8")
    state.rows[:, 4:].view(np.float32)[2] = 1e30, 1e30 / 127
    with pytest.raises(FormatError, match="row 2: not finite, or too long"):
        _format.loads(dump(config, state))


#: What is written where in the third row of sq4 with 4 columns, without kept vectors.
PLANES = {
    "step_zero": (8, np.float32(0), "row 2: length or step"),
    "step_inf": (8, np.float32(np.inf), "row 2: length or step"),
    "step_far": (8, np.float32(9), "row 2: its length and its codes disagree"),
    "length_minus": (4, np.float32(-1), "row 2: length or step"),
    "length_far": (4, np.float32(2), "row 2: its length and its codes disagree"),
    "codes_zero": (0, np.uint16(0x8888), "row 2: its length and its codes disagree"),
    "high_zero": (0, np.uint8(0x80), "row 2: a code is out of range"),
    "sixteen": (0, np.uint8(0x81), "row 2: a code is out of range"),
    "sixteen_above": (0, np.uint8(0x18), "row 2: a code is out of range"),
    "high_past_end": (2, np.uint8(0x98), "row 2: padding is not zero"),
    "high_last": (3, np.uint8(0x80), "row 2: padding is not zero"),
    "low_past_end": (14, np.uint8(0x87), "row 2: padding is not zero"),
    "low_last": (15, np.uint8(0x08), "row 2: padding is not zero"),
    "two_past_end": (17, np.uint8(64), "row 2: padding is not zero"),
    "two_last": (19, np.uint8(1), "row 2: padding is not zero"),
}


@pytest.mark.parametrize("keep", ["", "f16"])
@pytest.mark.parametrize(("place", "value", "text"), PLANES.values(), ids=PLANES)
def test_hostile_planes(place, value, text, keep):
    config, state = sample("l2", "sq4", keep)
    if keep and place > 16:
        return
    if "range" in text:
        state.rows[2, 12] = 0  # of both planes the lower halves count as one number
    raw = np.array([value]).view(np.uint8)
    state.rows[2, place : place + len(raw)] = raw
    with pytest.raises(FormatError, match=text):
        _format.loads(dump(config, state))


def test_codes_of_planes_from_least_to_largest():
    """17 to 255 are codes, at both ends."""
    for value in (17, 255):
        config, state = sample("ip", "sq4", "f16")
        state.rows[2, :2] = value >> 4 | value >> 4 << 4
        state.rows[2, 12:14] = value & 15 | (value & 15) << 4
        state.rows[:, 4:12].view(np.float32)[2] = 2, 1 / 119
        assert _format.loads(dump(config, state)).state.rows[2, 0] == (0x11, 0xFF)[value == 255]


def test_free_slots_of_planes_are_zero():
    config, state = sample("l2", "sq4")
    state.labels[5] = -1
    state.twins = np.empty((0, 2), np.uint32)
    with pytest.raises(FormatError, match="row 5: a free slot is not zero"):
        _format.loads(dump(config, state))
    state.rows[5] = 0
    _format.loads(dump(config, state))


@pytest.mark.parametrize(("codec", "place"), [("sq8", 4), ("sq10", 8), ("sq4", 4)])
def test_a_twin_of_codes_has_equal_factors(codec, place):
    config, state = sample("l2", codec)
    state.rows[:, place : place + 8].view(np.float32)[5] *= (4, 2)
    with pytest.raises(FormatError, match="twin 0: differs from its representative"):
        _format.loads(dump(config, state))


def test_zero_rows_of_codes():
    config, state = sample("l2", "sq8", "f32")
    state.rows[0, :4] = 0
    state.rows[:, 4:].view(np.float32)[0] = 0, np.sqrt(2)
    state.originals[0] = 0
    assert _format.loads(dump(config, state)).state.rows[0, 0] == 0


@pytest.mark.parametrize(("codec", "place"), [("sq10", 4), ("sq4", 16), ("sq4", 12)])
def test_a_twin_of_codes_has_equal_lower_bits(codec, place):
    config, state = sample("l2", codec)
    state.rows[5, place] ^= 1
    with pytest.raises(FormatError, match="twin 0: differs from its representative"):
        _format.loads(dump(config, state))


@pytest.mark.parametrize("place", [5, 6, 7])
def test_hostile_padding_of_lower_bits(place):
    config, state = sample("l2", "sq10")
    state.rows[2, place] = 64
    with pytest.raises(FormatError, match="row 2: padding is not zero"):
        _format.loads(dump(config, state))


def test_hostile_padding_of_codes():
    config = Config(3, "l2", "sq8", 2, 10, 0)
    rows = np.zeros((1, 12), np.uint8)
    rows[0, 3] = 1
    rows[:, 4:].view(np.float32)[0] = 0, np.sqrt(2)
    links = np.full((1, 4), NO_LINK, np.uint32)
    state = State(rows, links, np.zeros(1, np.int64), None, np.empty((0, 2), np.uint32))
    with pytest.raises(FormatError, match="row 0: padding is not zero"):
        _format.loads(dump(config, state))


def test_hostile_padding_of_a_row():
    config = Config(3, "l2", "i8", 2, 10, 0)
    rows = np.ones((1, 4), np.uint8)
    links = np.full((1, 4), NO_LINK, np.uint32)
    state = State(rows, links, np.zeros(1, np.int64), None, np.empty((0, 2), np.uint32))
    with pytest.raises(FormatError, match="row 0: padding is not zero"):
        _format.loads(dump(config, state))


def test_levels_must_shrink():
    config, state = sample()
    state.levels[1] = Level(np.arange(4, dtype=np.uint32), np.full((4, 2), NO_LINK, np.uint32))
    with pytest.raises(FormatError, match="level 2: expected 1 to 3 nodes, got 4"):
        _format.loads(dump(config, state))
    config, state = sample()
    state.levels = [Level(np.empty(0, np.uint32), np.empty((0, 2), np.uint32))]
    with pytest.raises(FormatError, match="level 1: expected 1 to 6 nodes, got 0"):
        _format.loads(dump(config, state))


def test_entry_must_be_in_the_graph():
    config, state = sample()
    state.levels, state.entry = [], 5
    with pytest.raises(FormatError, match="entry: row 5 is not in the graph"):
        _format.loads(dump(config, state))


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ([6], "seed 0: out of range"),
        ([0, NO_LINK], "seed 1: out of range"),
        ([1, 2, 1], "seed 2: appears twice"),
        ([0, 5], "seed 1: not in the graph"),
        (range(65), "seeds: expected at most 64, got 65"),
    ],
)
def test_seeds_must_be_nodes(seeds, text):
    config, state = sample()
    state.seeds = np.array(seeds, np.uint32)
    with pytest.raises(FormatError, match=text):
        _format.loads(dump(config, state))


GROWTH = [0.1, 0.2, 0.4, 0.6, 1, 1, 2, 3, 5]


@pytest.mark.parametrize(
    ("growth", "text"),
    [
        ([-1, *GROWTH], "a value is out of range"),
        ([2.0**24 + 2, *GROWTH], "a value is out of range"),
        ([np.nan, *GROWTH], "a value is out of range"),
        ([5, *GROWTH[::-1]], "a value is out of range"),
        ([5, 0, *GROWTH[1:]], "a value is out of range"),
        ([5, *GROWTH[:-1], np.inf], "a value is out of range"),
        ([5, *GROWTH[:4], np.nan, *GROWTH[5:]], "a value is out of range"),
        ([5, *[-1] * 9], "a value is out of range"),
        (GROWTH, "expected shape"),
    ],
)
def test_growth_must_be_distances(growth, text):
    config, state = sample()
    for good in ([5, *GROWTH], [0, *[0] * 9], []):
        state.growth = np.array(good, np.float32)
        _format.loads(dump(config, state))
    state.growth = np.array(growth, np.float32)
    with pytest.raises(FormatError, match=text):
        _format.loads(dump(config, state))
    if len(growth) == 10:
        with pytest.raises(FormatError, match="growth: " + text):
            _check.check_arrays(config, state, spanning=True)
