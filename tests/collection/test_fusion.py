"""Fusion against a plain twin and against ranx."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annx.collection import fuse
from annx.errors import ParameterError

NORMS = ["min-max", "z-score", "none"]
runs_of = st.lists(
    st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=2),
        st.floats(-100, 100).map(lambda score: round(score, 3)),
        max_size=12,
    ),
    max_size=4,
)


def twin(runs, method, weights, rank_constant, window, norm):
    """Fused scores, one document at a time."""
    total: dict[str, float] = {}
    for run, weight in zip(runs, weights, strict=True):
        ranked = sorted(run.items(), key=lambda pair: -pair[1])[:window]
        scores = [score for _, score in ranked]
        for rank, (name, score) in enumerate(ranked, 1):
            if method == "rrf":
                part = 1 / (rank_constant + rank)
            elif norm == "min-max":
                part = (score - min(scores)) / max(max(scores) - min(scores), 1e-9)
            elif norm == "z-score":
                part = (score - statistics.fmean(scores)) / max(statistics.pstdev(scores), 1e-9)
            else:
                part = score
            total[name] = total.get(name, 0.0) + weight * part
    return total


@given(
    runs_of,
    st.sampled_from(["rrf", "wsum"]),
    st.lists(st.floats(0, 10), min_size=4, max_size=4),
    st.floats(0, 100),
    st.none() | st.integers(1, 15),
    st.sampled_from(NORMS),
)
def test_equals_its_twin(runs, method, weights, rank_constant, window, norm):
    weights = weights[: len(runs)]
    options = {"weights": weights, "rank_constant": rank_constant, "window": window, "norm": norm}
    found = fuse(runs, method, **options)
    wanted = twin(runs, method, weights, rank_constant, window, norm)
    assert {name for name, _ in found} == set(wanted)
    for name, score in found:
        assert score == pytest.approx(wanted[name], rel=1e-6, abs=1e-6)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)


@given(runs_of)
def test_ties_come_in_order_of_appearance(runs):
    seen = []
    for run in runs:
        ranked = [name for name, _ in sorted(run.items(), key=lambda pair: -pair[1])]
        seen += [name for name in ranked if name not in seen]
    found = [name for name, _ in fuse(runs, weights=[0] * len(runs))]
    assert found == seen


def test_pairs_keep_their_order():
    assert fuse([[("b", 1.0), ("a", 1.0)]]) == [
        ("b", pytest.approx(1 / 61, abs=1e-12)),
        ("a", pytest.approx(1 / 62, abs=1e-12)),
    ]


@pytest.mark.parametrize(
    ("runs", "options"),
    [
        ([{"a": 1.0}], {"method": "best"}),
        ([{"a": 1.0}], {"norm": "max"}),
        ([{"a": 1.0}], {"weights": [1, 2]}),
        ([{"a": 1.0}], {"weights": [-1]}),
        ([{"a": 1.0}], {"weights": [math.nan]}),
        ([{"a": 1.0}], {"rank_constant": -1}),
        ([{"a": 1.0}], {"window": 0}),
        ([{"a": math.inf}], {}),
        ([[("a", 1.0), ("a", 0.5)]], {}),
    ],
)
def test_refuses_what_means_nothing(runs, options):
    with pytest.raises(ParameterError):
        fuse(runs, **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm", ["min-max", "z-score"])
def test_equals_ranx(norm, rng):
    ranx = pytest.importorskip("ranx")
    runs = []
    for _ in range(3):
        names = rng.choice(40, 25, replace=False)
        runs.append(
            {f"d{name}": float(score) for name, score in zip(names, rng.random(25), strict=True)}
        )
    given = [ranx.Run({"q": run}) for run in runs]
    oracle = ranx.fuse(given, norm=None, method="rrf", params={"k": 60})
    assert dict(fuse(runs)) == pytest.approx(dict(oracle.run["q"]))
    weights = [0.5, 0.3, 0.2]
    oracle = ranx.fuse(
        given,
        norm={"min-max": "min-max", "z-score": "zmuv"}[norm],
        method="wsum",
        params={"weights": weights},
    )
    found = fuse(runs, "wsum", weights=weights, norm=norm)
    assert dict(found) == pytest.approx(dict(oracle.run["q"]))
