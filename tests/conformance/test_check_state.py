"""The native check of a state, and its slow twin in NumPy: one verdict."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from data import vectors

import annx
from annx import _check
from annx._backends.base import NO_LINK, TREE_FLAG
from annx.errors import FormatError

SHAPES = [
    ("l2", {"codec": "f32"}), ("cosine", {"codec": "f32"}), ("ip", {"codec": "f16"}),
    ("cosine", {"codec": "bf16"}), ("cosine", {"codec": "i8"}), ("l2", {"codec": "u8"}),
    ("hamming", {"codec": "b1"}), ("l2", {"codec": "sq8", "keep_vectors": "none"}),
    ("cosine", {"codec": "sq8", "keep_vectors": "f16"}),
    ("ip", {"codec": "sq10", "keep_vectors": "f32"}),
    ("l2", {"codec": "sq10", "keep_vectors": "none"}),
    ("cosine", {"codec": "sq10", "keep_vectors": "none"}),
    ("l2", {"codec": "sq4", "keep_vectors": "none"}),
    ("ip", {"codec": "sq4", "keep_vectors": "f16"}),
    ("cosine", {"codec": "sq4", "keep_vectors": "f32"}),
]  # fmt: skip


def verdict(check, *args, **options):
    try:
        check(*args, **options)
    except FormatError as error:
        return str(error)
    return ""


@pytest.fixture
def native(use_backend):
    use_backend("native")

    def check(config, state, spanning):
        _check.check_state(config, state, spanning=spanning, num_threads=2)

    return check


def state_of(rng, metric, options, removed):
    dim = 40 if metric == "hamming" else 22
    index = annx.Index(dim, metric, M=3, ef_construction=20, **options)
    x = vectors(rng, 300, dim, options["codec"])
    x[50:70] = x[0]
    index.add(x, rng.permutation(900)[:300] + 100)
    if removed:
        index.remove(index.labels[rng.permutation(300)[:removed]])
    return index._config, index._core.export_state()


def arrays_of(state):
    named = {"rows": state.rows, "links": state.links, "labels": state.labels}
    named |= {"norms": state.norms, "originals": state.originals, "twins": state.twins}
    named |= {"seeds": state.seeds, "growth": state.growth}
    for number, level in enumerate(state.levels):
        named |= {f"down{number}": level.down, f"links{number}": level.links}
    return {name: array for name, array in named.items() if array is not None and array.size}


def damage(rng, state):
    """Change one number, or a few, anywhere."""
    arrays = arrays_of(state)
    array = arrays[rng.choice(list(arrays))].reshape(-1)
    place = rng.integers(array.size)
    kind = rng.integers(5)
    if kind == 0:
        raw = array.view(np.uint8)
        raw[rng.integers(raw.size)] ^= np.uint8(1 << rng.integers(8))
    elif kind == 1:
        array[place] = array[rng.integers(array.size)]
    elif kind == 2:
        stop = place + rng.integers(1, 40)
        array[place:stop] = 0
    elif kind == 3 and array.dtype == np.uint32:
        array[place] ^= rng.choice(np.array([TREE_FLAG, 1 << 30, NO_LINK, 1, 3], np.uint32))
    else:
        array.view(np.uint8).reshape(-1)[place : place + 4] = 255


@pytest.mark.parametrize("removed", [0, 60])
@pytest.mark.parametrize(("metric", "options"), SHAPES)
def test_both_say_the_same(native, metric, options, removed):
    rng = np.random.default_rng(7)
    config, whole = state_of(rng, metric, options, removed)
    assert verdict(native, config, whole, True) == ""
    assert verdict(_check.check_arrays, config, whole, True) == ""
    refused = 0
    for _ in range(60):
        state = copy.deepcopy(whole)
        for _ in range(rng.integers(1, 3)):
            damage(rng, state)
        for spanning in (False, True):
            got = verdict(native, config, state, spanning)
            want = verdict(_check.check_arrays, config, state, spanning)
            assert bool(got) == bool(want), (got, want)
        refused += bool(want)
    # Most elements of rows may be anything.
    assert refused > 15


def test_an_unknown_order_of_labels(native):
    rng = np.random.default_rng(3)
    config, state = state_of(rng, "l2", {"codec": "f32"}, 0)
    for twice in (-(2**63), 2**63 - 1, 5):
        state.labels[:] = rng.permutation(10**6)[:300] + 1000
        state.labels[[7, 200]] = twice
        for check in (native, _check.check_arrays):
            assert verdict(check, config, state, False) == f"label {twice} appears twice"


@pytest.mark.parametrize("check", ["reference", "native"])
def test_a_tree_in_two_pieces(use_backend, check):
    use_backend("native")
    rng = np.random.default_rng(5)
    config, state = state_of(rng, "l2", {"codec": "f32"}, 0)
    use_backend(check)
    row = int(np.flatnonzero(state.links[:, 0] != NO_LINK)[-1])
    for node in range(300):
        for column, link in enumerate(state.links[node]):
            if link != NO_LINK and row in (node, link & 0x3FFFFFFF):
                state.links[node, column] &= ~TREE_FLAG
    _check.check_state(config, state)
    with pytest.raises(FormatError, match=r"links of row \d+: cut off"):
        _check.check_state(config, state, spanning=True)


def test_arrays_of_other_sizes_are_not_read(native):
    config, state = state_of(np.random.default_rng(1), "l2", {"codec": "f32"}, 0)
    state.links = state.links[:-1].copy()
    with pytest.raises(ValueError, match="links: expected 1800 elements, got 1794"):
        native(config, state, False)
