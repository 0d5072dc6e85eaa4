"""Marks, replacements and filters of annx's twin of hnswlib, against a model."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hnswlib_indexes import index_of

import annx.compat.hnswlib as ours


class Model:
    """What hnswlib's documentation says of labels and marks, in two dicts."""

    def __init__(self, limit, allow):
        self.limit, self.allow = limit, allow
        self.rows, self.deleted = {}, []

    def add(self, ids, rows, replace):
        new = [label for label in dict.fromkeys(ids) if label not in self.rows]
        if replace and not self.allow:
            raise RuntimeError
        if self.allow and not replace and any(label in self.deleted for label in ids):
            raise RuntimeError
        others = [label for label in self.deleted if label not in ids]
        gone = others[: len(new)] if replace else []
        if len(self.rows) + len(new) - len(gone) > self.limit:
            raise RuntimeError
        for label in gone:
            del self.rows[label]
        self.deleted = [label for label in self.deleted if label not in [*gone, *ids]]
        self.rows.update(zip(ids, rows, strict=True))

    def mark(self, label):
        if label not in self.rows or label in self.deleted:
            raise RuntimeError
        self.deleted.append(label)

    def unmark(self, label):
        if label not in self.deleted:
            raise RuntimeError
        self.deleted.remove(label)

    def live(self):
        return {label: row for label, row in self.rows.items() if label not in self.deleted}


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_random_calls_against_a_model(allow, seed, tmp_path):
    rng = np.random.default_rng(seed)
    model = Model(60, allow)
    index = ours.Index("l2", 4)
    index.init_index(60, M=4, allow_replace_deleted=allow)
    index.set_ef(100)

    def both(call, *arguments):
        outcomes = []
        for one in (getattr(model, call[0]), getattr(index, call[1])):
            try:
                one(*arguments[0 if one.__self__ is model else 1])
                outcomes.append(True)
            except RuntimeError:
                outcomes.append(False)
        assert outcomes[0] == outcomes[1], (call, arguments)

    for step in range(150):
        kind = rng.choice(["add", "mark", "unmark", "copy"], p=[0.4, 0.35, 0.2, 0.05])
        if kind == "add":
            ids = rng.integers(0, 90, rng.integers(1, 6)).tolist()
            rows = rng.standard_normal((len(ids), 4), dtype=np.float32)
            replace = bool(rng.random() < 0.5)
            both(("add", "add_items"), (ids, rows, replace), (rows, ids, -1, replace))
        elif kind in ("mark", "unmark"):
            label = int(rng.integers(0, 90))
            both((kind, f"{kind}_deleted"), (label,), (label,))
        elif step % 2:
            index = pickle.loads(pickle.dumps(index))
        else:
            index.save_index(tmp_path / "copy.bin")
            index = ours.Index("l2", 4)
            index.load_index(tmp_path / "copy.bin", 60, allow)
            index.set_ef(100)
            # A file says what is marked, not in which order.
            marked = set(model.deleted)
            model.deleted = [label for label in index._deleted if label in marked]
            assert set(model.deleted) == marked
        assert index.element_count == len(model.rows)
        assert sorted(index.get_ids_list()) == sorted(model.rows)
        live = model.live()
        if live:
            query = rng.standard_normal(4, dtype=np.float32)
            labels, distances = index.knn_query(query, len(live))
            want = sorted((float(((row - query) ** 2).sum()), label) for label, row in live.items())
            assert np.allclose(distances[0], [distance for distance, _ in want], rtol=1e-4)
            assert set(labels[0].tolist()) == live.keys()
            assert np.array_equal(index.get_items(list(live)), np.stack(list(live.values())))
        with pytest.raises(RuntimeError, match="contiguous 2D array"):
            index.knn_query(np.zeros(4), len(live) + 1)


def test_filters_and_marks_together(rng):
    index, rows = index_of(ours, n=400)
    for label in range(0, 400, 2):
        index.mark_deleted(label)
    queries = rng.standard_normal((30, 12), dtype=np.float32)
    exact = ((queries[:, None] - rows[None]) ** 2).sum(axis=2)
    for allowed in (lambda i: i % 3 == 0, lambda i: i in {5, 17, 33}, lambda i: True):
        passing = [i for i in range(1, 400, 2) if allowed(i)]
        k = min(3, len(passing))
        labels, distances = index.knn_query(queries, k, filter=allowed)
        assert set(labels.ravel().tolist()) <= set(passing)
        assert np.allclose(distances, np.sort(exact[:, passing], axis=1)[:, :k], rtol=1e-4)


def test_a_filter_is_asked_once_about_a_label_and_no_more_than_needed(rng):
    index, rows = index_of(ours, n=2000, limit=2000)
    asked = []
    index.knn_query(rows[:3], 2, filter=lambda label: asked.append(label) or label % 2 == 0)
    assert len(asked) == len(set(asked)) < 300
    assert all(type(label) is int for label in asked)
