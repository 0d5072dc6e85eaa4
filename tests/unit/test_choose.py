"""Whether `turbo` puts codes of edges beside rows: where their estimates lead a search."""

from __future__ import annotations

import numpy as np
import pytest

import annx
from annx import _choose


def isotropic(rng, n, dim):
    return rng.standard_normal((n, dim)).astype(np.float32)


def stretched(rng, n, dim):
    return isotropic(rng, n, dim) * rng.lognormal(0, 0.5, (n, 1)).astype(np.float32)


def clusters(rng, n, dim):
    """Overlapping ones of eight directions, as embeddings are."""
    centres = rng.standard_normal((n // 50, 8))
    inside = centres[rng.integers(0, len(centres), n)] + 0.5 * rng.standard_normal((n, 8))
    rows = inside @ rng.standard_normal((8, dim)) + 0.1 * rng.standard_normal((n, dim))
    return rows.astype(np.float32)


def edge_bits(rows, metric):
    config = annx.Index(rows.shape[1], metric)._config
    choice = _choose.by_rows(config, "turbo", "auto", rows)
    assert ("about equally near" in choice.why) == (choice.config.edge_bits == 0)
    return choice.config.edge_bits


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
@pytest.mark.parametrize(
    ("make", "metric", "dim"),
    [
        (isotropic, "l2", 48),
        (isotropic, "l2", 28),
        (isotropic, "cosine", 600),
        (stretched, "ip", 64),
    ],
)
def test_rows_that_are_about_equally_near_get_no_codes_of_edges(make, metric, dim, scale, rng):
    rows = make(rng, 30_000, dim) * np.float32(scale)
    assert edge_bits(rows, metric) == 0
    assert edge_bits(rows[:2000], metric) > 0  # few do not tell


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
@pytest.mark.parametrize(("dim", "bits"), [(48, 2), (600, 1)])
@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_rows_in_clusters_get_them(metric, dim, bits, scale, rng):
    assert edge_bits(clusters(rng, 12_000, dim) * np.float32(scale), metric) == bits


def test_whole_numbers_are_asked_as_well(rng):
    rows = np.round(20 * isotropic(rng, 12_000, 48))
    choice = _choose.by_rows(annx.Index(48)._config, "turbo", "auto", rows)
    assert (choice.config.codec, choice.config.edge_bits) == ("i8", 0)


@pytest.mark.parametrize("copies", [6, 40])
@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_copies_are_no_crowd(metric, copies, rng):
    rows = np.tile(clusters(rng, 12_000 // copies, 48), (copies, 1))
    assert edge_bits(rows, metric) == 2


def test_a_zero_row_is_no_crowd():
    rows = np.zeros((12_000, 48), np.float32)
    rows[0] = 0.5
    assert edge_bits(rows, "ip") == 2


def test_turbo_finds_there_what_auto_finds(rng):
    """With codes of edges .94 of the nearest where `auto` found .97."""
    rows, queries = isotropic(rng, 12_000, 64), isotropic(rng, 200, 64)
    wide, asked = rows.astype(np.float64), queries.astype(np.float64)
    true = (asked**2).sum(1)[:, None] + (wide**2).sum(1) - 2 * asked @ wide.T
    tenth = np.sort(true, axis=1)[:, 9:10]
    found = {}
    for preset in ("auto", "turbo"):
        index = annx.Index(64, codec=preset)
        index.add(rows)
        labels = index.search(queries, 10, ef_search=128).labels
        theirs = np.take_along_axis(true, labels, axis=1)
        found[preset] = (theirs <= tenth * (1 + 1e-6)).mean()
    assert found["turbo"] > found["auto"] - 0.01
