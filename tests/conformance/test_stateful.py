"""Random sequences of calls, against a dictionary and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from data import PAIRS
from graphs import check_graph
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from reference import distances

import annx

#: Storage, and how near a distance is to that of the vectors as they were given.
STORED = [
    *((codec, metric, "auto", 1e-5) for codec, metric in PAIRS),
    ("sq8", "l2", "f32", 1e-5),
    ("sq4", "l2", "f32", 1e-5),
    ("turbo", "l2", "f32", 1e-5),
    ("turbo", "cosine", "f32", 1e-5),
]
LABELS = st.integers(-3, 60).filter(lambda label: label != -1)


def machine(codec, metric, keep, close):
    dim = 32

    class Machine(RuleBasedStateMachine):
        @initialize(seed=st.integers(0, 2**32))
        def start(self, seed):
            self.rng = np.random.default_rng(seed)
            kept = {"keep_vectors": keep} if codec in ("sq8", "sq4", "turbo") else {}
            self.index = annx.Index(
                dim, metric, codec=codec, **kept, M=3, ef_construction=20, ef_search=256
            )
            self.rows: dict[int, np.ndarray] = {}

        def new_rows(self, n, few):
            if codec in ("u8", "b1"):
                columns = dim // 8 if codec == "b1" else dim
                return self.rng.integers(1, 3 if few else 256, (n, columns), dtype=np.uint8)
            x = self.rng.integers(-1 if few else -100, 3 if few else 100, (n, dim))
            x[:, 0] = 1  # not zero
            return x.astype({"i8": np.int8, "f16": np.float16}.get(codec, np.float32))

        def values(self, rows):
            return (
                np.unpackbits(rows, axis=1).astype(float) if codec == "b1" else rows.astype(float)
            )

        @rule(labels=st.lists(LABELS, unique=True, max_size=30), few=st.booleans())
        def upsert(self, labels, few):
            rows = self.new_rows(len(labels), few)
            self.index.add(rows, labels, upsert=True)
            self.rows.update(zip(labels, rows, strict=True))

        @rule(n=st.integers(1, 20), few=st.booleans())
        def number_on(self, n, few):
            rows = self.new_rows(n, few)
            labels = self.index.add(rows).tolist()
            assert not self.rows.keys() & set(labels)
            self.rows.update(zip(labels, rows, strict=True))

        @rule(share=st.floats(0, 1))
        def remove(self, share):
            gone = [label for label in self.rows if self.rng.random() < share]
            self.index.remove(gone)
            for label in gone:
                del self.rows[label]

        @rule()
        def remove_what_is_not_there(self):
            with pytest.raises(annx.LabelError):
                self.index.remove([*self.rows, 1000003])

        @rule(kind=st.sampled_from(["compact", "bytes", "repair"]))
        def rewrite(self, kind):
            if kind == "compact":
                self.index.compact()
                assert self.index.info()["graph"]["free"] == 0
            elif kind == "repair":
                assert self.index.repair().ok
            else:
                before = self.index.to_bytes()
                self.index = annx.Index.from_bytes(before)
                assert self.index.to_bytes() == before

        @rule(k=st.integers(1, 80), share=st.sampled_from([None, 0.0, 0.1, 0.5, 0.95]))
        def search(self, k, share):
            query = self.new_rows(1, False)
            allowed = dict(self.rows)
            filter = None
            if share is not None:
                allowed = {
                    label: row for label, row in self.rows.items() if self.rng.random() < share
                }
                filter = annx.Filter(self.index, [*allowed, 777777])
                if self.rng.random() < 0.5:
                    filter = ~annx.Filter(self.index, [*(self.rows.keys() - allowed.keys())])
            want = np.sort(self.distances(query, allowed))[:k]
            for call in (self.index.search, self.index.exact_search):
                hits = call(query, k=k, filter=filter)
                found = hits.labels[0][hits.labels[0] != -1].tolist()
                assert len(found) == len(set(found)) == len(want)
                assert set(found) <= allowed.keys()
                near = self.tolerance(allowed)
                np.testing.assert_allclose(hits.distances[0, : len(want)], want, atol=near)
                own = self.distances(query, {label: allowed[label] for label in found})
                np.testing.assert_allclose(hits.distances[0, : len(want)], own, atol=near)

        @rule(rank=st.integers(0, 40))
        def search_a_range(self, rank):
            query = self.new_rows(1, False)
            true = self.distances(query, self.rows)
            # Between two distances, so that rounding decides nothing.
            ranked = np.sort(true)
            gaps = np.flatnonzero(np.diff(ranked) > 4 * self.tolerance(self.rows))
            if not len(gaps):
                return
            place = gaps[rank % len(gaps)]
            radius = float(ranked[place : place + 2].mean())
            found = self.index.range_search(query, radius).labels.tolist()
            want = [label for label, d in zip(self.rows, true, strict=True) if d < radius]
            assert sorted(found) == sorted(want)

        def distances(self, query, rows):
            if not rows:
                return np.empty(0)
            return distances(metric, self.values(query)[0], self.values(np.stack([*rows.values()])))

        def tolerance(self, rows):
            if not rows or metric in ("cosine", "hamming"):
                return close
            return close * (1 + (self.values(np.stack([*rows.values()])) ** 2).sum(axis=1).max())

        @invariant()
        def holds_what_it_should(self):
            if not hasattr(self, "index"):
                return
            labels = self.index.labels.tolist()
            assert sorted(labels) == sorted(self.rows) and len(self.index) == len(self.rows)
            if labels:
                stored = self.index.get(labels).astype(float)
                want = np.stack([self.rows[label] for label in labels]).astype(float)
                np.testing.assert_allclose(stored, want, rtol=1e-5, atol=1e-4)

        def teardown(self):
            if hasattr(self, "index"):
                check_graph(self.index)

    return Machine


@pytest.mark.parametrize(("codec", "metric", "keep", "close"), STORED)
@pytest.mark.parametrize("name", ["reference", "native", "numba"])
def test_any_sequence_of_calls(use_backend, name, codec, metric, keep, close):
    use_backend(name)
    calm = settings(
        max_examples=8,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_machine(machine(codec, metric, keep, close), settings=calm)
