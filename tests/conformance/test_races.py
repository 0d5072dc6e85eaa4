"""Another thread's call at the worst moment, which a hook stands for."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import annx
from annx import _filter

DIM = 8


@pytest.fixture
def whole(engine, rng):
    """An index that keeps whole numbers as bytes, and changes that where others come."""
    index = annx.Index(DIM, seed=3)
    index.add(rng.integers(0, 256, (100, DIM)).astype(np.float32))
    assert index.codec == "u8"
    return index


def change_codec(index):
    index.add(np.full((1, DIM), 0.5, np.float32))
    assert index.codec != "u8"


@pytest.fixture
def after_call(monkeypatch):
    """A function that lets something happen as soon as the next call of a method has returned."""

    def hook(owner, names, happen):
        waiting = [happen]

        def wrapped(method):
            def call(*args, **kwargs):
                result = method(*args, **kwargs)
                if waiting:
                    waiting.pop()()
                return result

            return call

        for name in names:
            monkeypatch.setattr(owner, name, wrapped(getattr(owner, name)))
        return waiting

    return hook


@pytest.mark.parametrize(
    "search",
    [
        lambda index, only: index.search(np.zeros(DIM), k=3, filter=only),
        lambda index, only: index.exact_search(np.zeros(DIM), k=3, filter=only),
        lambda index, only: index.search(np.zeros(DIM), k=3, filter=only, diversity=0.5),
        lambda index, only: index.range_search(np.zeros(DIM), 1e9, filter=only),
    ],
    ids=["search", "exact", "diverse", "range"],
)
def test_a_filter_is_not_shown_to_another_core(whole, search, after_call):
    """Both cores have changed as often, and have their rows in different orders."""
    whole.update(5, whole.get(5) + 1)
    only = annx.Filter(whole, [7])
    assert whole.search(whole.get(7), k=1, filter=only).labels.tolist() == [[7]]
    waiting = after_call(_filter, ["handles"], lambda: change_codec(whole))
    labels = search(whole, only).labels.ravel()
    assert not waiting and labels[labels >= 0].tolist() == [7]


def test_a_filter_is_good_for_the_core_that_it_is_asked_for(whole):
    class Other:
        def make_filter(self, labels, allow):
            return "other"

    only = annx.Filter(whole, [7])
    mine, other = whole._core, Other()
    for core in (mine, other, mine, other):
        assert (only._handle_for(core) == "other") == (core is other)


def test_a_copy_is_of_one_codec(whole, after_call):
    waiting = after_call(type(whole._core), ["export_state"], lambda: change_codec(whole))
    copy = annx.Index.from_bytes(whole.to_bytes())
    assert not waiting
    assert copy.codec == "u8" and copy.check().ok
    assert np.array_equal(copy.get(copy.labels), whole.get(copy.labels))


def test_an_index_that_waits_for_rows_is_copied_as_such(engine, after_call):
    index = annx.Index(DIM)
    waiting = after_call(type(index._core), ["export_state"], lambda: change_codec(index))
    copy = annx.Index.from_bytes(index.to_bytes())
    assert not waiting and len(copy) == 0
    copy.add(np.ones((3, DIM)))
    assert copy.codec == "u8"


def test_info_is_of_one_codec(whole, after_call):
    waiting = after_call(type(whole._core), ["memory"], lambda: change_codec(whole))
    info = whole.info()
    assert not waiting
    assert info["codec"] == "u8" and "whole number" in info["codec_why"] and info["n"] == 100


def test_a_copy_hands_out_no_labels(whole, after_call):
    index = annx.Index.from_bytes(whole.to_bytes())
    more = np.ones((10, DIM), np.float32)
    waiting = after_call(type(index._core), ["labels"], lambda: index.add(more))
    index.to_bytes()
    if waiting:
        waiting.clear()
        index.add(more)
    assert index.add(more).tolist() == list(range(110, 120))


def test_rows_may_go_while_tune_looks_at_them(whole, after_call):
    waiting = after_call(type(whole._core), ["labels"], lambda: whole.remove(np.arange(0, 60)))
    table = whole.tune(k=5)
    assert not waiting and table.k == 5


def test_rows_may_go_with_their_codec_while_tune_looks_at_them(whole, after_call):
    def change():
        change_codec(whole)
        whole.remove(np.arange(60))

    waiting = after_call(type(whole._core), ["contains"], change)
    # It must not look for the rows for ever.
    tuning = threading.Thread(target=whole.tune, kwargs={"k": 5}, daemon=True)
    tuning.start()
    tuning.join(60)
    assert not waiting and not tuning.is_alive()


def test_no_row_is_left_to_tune_with(whole, after_call):
    after_call(type(whole._core), ["labels"], lambda: whole.remove(np.arange(100)))
    with pytest.raises(annx.ParameterError, match="empty"):
        whole.tune(k=5)


def test_a_hit_may_go_while_others_are_chosen(whole, after_call):
    query = whole.get(30)
    first = whole.exact_search(query, k=4).labels[0]
    waiting = after_call(type(whole._core), ["planned_search"], lambda: whole.remove(first))
    found = whole.search(query, k=10, diversity=0.3).labels[0]
    assert not waiting and (found >= 0).all()
    assert not np.isin(first, found).any() and len(set(found.tolist())) == 10


def test_all_hits_may_go_while_some_are_chosen(whole, after_call):
    waiting = after_call(
        type(whole._core), ["planned_search"], lambda: whole.remove(np.arange(100))
    )
    found = whole.search(np.zeros(DIM), k=10, diversity=0.3)
    assert not waiting and (found.labels == -1).all()
