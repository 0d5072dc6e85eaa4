"""scikit-learn's own checks of estimators, and the slow twin: its exact neighbours."""

from __future__ import annotations

import pickle
import warnings

import ecosystem
import numpy as np
import pytest

ecosystem.need("sklearn", "scipy")

from sklearn.base import clone
from sklearn.cluster import DBSCAN
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.manifold import TSNE, trustworthiness
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from annx import AnnxError, ParameterError, ZeroVectorError
from annx.integrations.sklearn import AnnxNeighbors, AnnxTransformer, knn_graph

METRICS = ["euclidean", "sqeuclidean", "cosine"]


@parametrize_with_checks(
    [
        AnnxTransformer(),
        AnnxTransformer(mode="connectivity", algorithm="brute"),
        AnnxNeighbors(),
        AnnxNeighbors(algorithm="brute"),
    ]
)
def test_passes_every_check_of_estimators(estimator, check):
    check(estimator)


@pytest.fixture
def samples(rng):
    # Offset and unlike scales, as columns of a table have.
    return rng.standard_normal((600, 8)) * np.logspace(-2, 2, 8) + np.arange(8)


@pytest.fixture
def others(samples, rng):
    return samples[:50] + 0.1 * rng.standard_normal((50, 8)) * samples.std(axis=0)


def assert_same_graph(ours, theirs, rtol=2e-5):
    """Equal shapes, entries a row and weights; rows sorted by weight."""
    assert ours.format == "csr" and ours.shape == theirs.shape
    np.testing.assert_array_equal(ours.indptr, theirs.indptr)
    scale = theirs.data.max()
    weights = ours.data.reshape(ours.shape[0], -1)
    assert (np.diff(weights, axis=1) >= 0).all()
    np.testing.assert_allclose(
        weights, np.sort(theirs.data.reshape(weights.shape), axis=1), rtol, 2e-7 * scale
    )
    same = [
        set(ours.indices[a:b]) == set(theirs.indices[a:b])
        for a, b in zip(ours.indptr, ours.indptr[1:], strict=False)
    ]
    assert np.mean(same) > 0.99  # neighbours at equal distances, up to rounding, are few


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
@pytest.mark.parametrize("metric", METRICS)
def test_brute_is_scikit_learns_transformer(samples, others, metric, mode):
    theirs = KNeighborsTransformer(
        mode=mode, n_neighbors=7, metric=metric, algorithm="brute", n_jobs=1
    )
    ours = AnnxTransformer(mode=mode, n_neighbors=7, metric=metric, algorithm="brute")
    assert_same_graph(ours.fit_transform(samples), theirs.fit_transform(samples))
    assert_same_graph(ours.transform(others), theirs.transform(others))


@pytest.mark.parametrize("metric", METRICS)
def test_brute_is_nearest_neighbors(samples, others, metric):
    theirs = NearestNeighbors(n_neighbors=4, metric=metric, algorithm="brute").fit(samples)
    ours = AnnxNeighbors(n_neighbors=4, metric=metric, algorithm="brute").fit(samples)
    scale = theirs.kneighbors(others, 600)[0].max()
    for queries in (None, others):
        near, far = ours.kneighbors(queries), theirs.kneighbors(queries)
        np.testing.assert_allclose(near[0], far[0], 2e-5, 2e-7 * scale)
        assert (near[1] == far[1]).mean() > 0.99
        np.testing.assert_array_equal(ours.kneighbors(queries, 2, False), near[1][:, :2])
        radius = float(np.median(far[0]))
        within, all_within = (
            each.radius_neighbors_graph(queries, radius, "distance").sorted_indices()
            for each in (ours, theirs)
        )
        assert within.shape == all_within.shape
        assert abs(within.nnz - all_within.nnz) <= 2  # at the radius itself, up to rounding
        difference = abs(within - all_within)
        assert (difference.data > 2e-5 * radius).sum() <= 2


def test_whole_numbers_far_from_zero_stay_exact():
    grid = np.stack(np.meshgrid(*[np.arange(7.0)] * 2), -1).reshape(-1, 2) + [10**6, -(10**7)]
    ours = AnnxNeighbors(radius=1.0, algorithm="brute").fit(grid)
    theirs = NearestNeighbors(radius=1.0, algorithm="kd_tree").fit(grid)
    # Neighbours of a grid lie at the radius itself.
    assert (ours.radius_neighbors_graph() != theirs.radius_neighbors_graph()).nnz == 0
    distances, indices = ours.radius_neighbors(grid[:1])
    assert distances[0].tolist() == [0, 1, 1]
    assert sorted(indices[0]) == [0, 1, 7]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codec", ["f32", "auto"])
def test_hnsw_finds_what_brute_finds(rng, metric, codec):
    centres = rng.standard_normal((30, 48))
    samples = np.repeat(centres, 100, 0) + 0.4 * rng.standard_normal((3000, 48))
    exact = AnnxNeighbors(n_neighbors=10, metric=metric, algorithm="brute", codec=codec)
    graph = clone(exact).set_params(algorithm="hnsw")
    want, got = (each.fit(samples).kneighbors() for each in (exact, graph))
    assert np.mean([len(np.intersect1d(*rows)) for rows in zip(want[1], got[1], strict=True)]) > 9.8
    assert (got[1] != np.arange(3000)[:, None]).all()
    edges = [
        each.radius_neighbors_graph(radius=want[0][:, 4].mean()).nnz for each in (exact, graph)
    ]
    assert 0.97 * edges[0] < edges[1] <= edges[0]


def test_every_sample_leads_its_own_row_even_among_equals(rng):
    samples = np.repeat(rng.standard_normal((4, 3)), 40, axis=0)
    graph = AnnxTransformer(n_neighbors=5).fit_transform(samples)
    np.testing.assert_array_equal(graph.indices.reshape(160, 6)[:, 0], np.arange(160))
    assert (np.sort(graph.indices.reshape(160, 6)) // 40 == np.arange(160)[:, None] // 40).all()
    assert not graph.data.any()
    assert (np.diff(np.sort(graph.indices.reshape(160, 6))) > 0).all()


def test_classifies_in_a_pipeline_as_scikit_learn_alone():
    X, y = load_digits(return_X_y=True)
    alone = KNeighborsClassifier(n_neighbors=5).fit(X[:1200], y[:1200])
    chain = make_pipeline(
        AnnxTransformer(n_neighbors=5), KNeighborsClassifier(n_neighbors=5, metric="precomputed")
    ).fit(X[:1200], y[:1200])
    assert (chain.predict(X[1200:]) == alone.predict(X[1200:])).mean() > 0.995
    again = pickle.loads(pickle.dumps(chain))
    np.testing.assert_array_equal(again.predict(X[1200:]), chain.predict(X[1200:]))


def test_grid_search_over_parameters_of_both_steps(tmp_path):
    X, y = load_digits(return_X_y=True)
    chain = make_pipeline(
        AnnxTransformer(n_neighbors=9),
        KNeighborsClassifier(metric="precomputed"),
        memory=str(tmp_path),
    )
    grid = {
        "annxtransformer__metric": ["euclidean", "cosine"],
        "annxtransformer__M": [8, 16],
        "kneighborsclassifier__n_neighbors": [1, 9],
    }
    found = GridSearchCV(chain, grid, cv=2, error_score="raise").fit(X[:600], y[:600])
    assert found.best_score_ > 0.9
    assert len(found.cv_results_["params"]) == 8


def test_dbscan_on_the_radius_graph_is_dbscan():
    X, _ = make_blobs(800, 3, centers=6, cluster_std=0.7, random_state=3)
    want = DBSCAN(eps=0.6, min_samples=6).fit_predict(X)
    neighbors = AnnxNeighbors(radius=0.6, algorithm="brute").fit(X)
    graph = neighbors.radius_neighbors_graph(X, mode="distance")
    got = DBSCAN(eps=0.6, min_samples=6, metric="precomputed").fit_predict(graph)
    np.testing.assert_array_equal(got, want)


def test_tsne_on_precomputed_neighbours_keeps_neighbourhoods():
    X, _ = load_digits(return_X_y=True)
    X = X[:300]
    tsne = TSNE(perplexity=15, metric="precomputed", init="random", max_iter=300, random_state=0)
    chain = make_pipeline(AnnxTransformer(n_neighbors=46, metric="sqeuclidean"), tsne)
    assert trustworthiness(X, chain.fit_transform(X)) > 0.95


def test_knn_graph_is_the_transformers(samples):
    indices, distances = knn_graph(samples, 6, metric="cosine")
    graph = AnnxTransformer(n_neighbors=5, metric="cosine").fit_transform(samples)
    np.testing.assert_array_equal(indices.ravel(), graph.indices)
    np.testing.assert_array_equal(distances.ravel(), graph.data)


def test_umap_on_the_graph_keeps_neighbourhoods():
    ecosystem.need("umap")
    import umap

    X = load_digits().data[:400]
    with warnings.catch_warnings():
        # Of transforming new data, which takes an index of UMAP's own.
        warnings.simplefilter("ignore")
        layout = umap.UMAP(
            n_neighbors=15, random_state=0, n_epochs=200, precomputed_knn=knn_graph(X, 15)
        ).fit_transform(X)
    assert trustworthiness(X, layout) > 0.95


def test_names_of_columns(samples):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(samples[:, :3], columns=list("abc"))
    transformer = AnnxTransformer().fit(frame)
    assert transformer.feature_names_in_.tolist() == ["a", "b", "c"]
    names = transformer.get_feature_names_out()
    assert names[0] == "annxtransformer0" and len(names) == transformer.n_samples_fit_ == 600


@pytest.mark.parametrize(
    "parameters", [{"metric": "ip"}, {"n_neighbors": 0}, {"algorithm": "kd_tree"}, {"M": 1}]
)
def test_parameters_out_of_range(samples, parameters):
    with pytest.raises(ParameterError):
        AnnxTransformer(**parameters).fit(samples)


def test_bad_input(samples):
    with pytest.raises(NotFittedError):
        AnnxNeighbors().kneighbors(samples)
    neighbors = AnnxNeighbors().fit(samples[:5])
    with pytest.raises(ParameterError, match="n_neighbors <= n_samples_fit"):
        neighbors.kneighbors(samples, 6)
    with pytest.raises(ParameterError):
        neighbors.kneighbors()  # all but the sample itself are 4
    with pytest.raises(ParameterError):
        neighbors.kneighbors_graph(samples, mode="weight")
    with pytest.raises(ParameterError):
        AnnxTransformer(mode="weight").fit_transform(samples)
    with pytest.raises(ZeroVectorError):
        AnnxNeighbors(metric="cosine").fit(np.eye(4) - np.eye(4)[0])
    with pytest.raises(AnnxError):
        AnnxNeighbors().fit(samples * 1e40)
