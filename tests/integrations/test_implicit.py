"""What implicit asks of its models, and the slow twin: the model without annx.

implicit does not ship its own tests; the cases of its tests of recommenders are among these.
"""

from __future__ import annotations

import io
import pickle

import ecosystem
import numpy as np
import pytest

ecosystem.need("implicit", "scipy")

from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.evaluation import precision_at_k, ranking_metrics_at_k
from implicit.recommender_base import RecommenderBase
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from annx import Filter, FormatError, ParameterError
from annx.integrations.implicit import AnnxModel

# Of SciPy's matrices, within implicit.
pytestmark = pytest.mark.filterwarnings("ignore:Method expects CSR input")


@pytest.fixture(autouse=True)
def one_thread_of_blas():
    with threadpool_limits(1, "blas"):
        yield


def checkerboard(size):
    """Users like items of their own parity, all but the one of their own number."""
    number = np.arange(size)
    likes = (number[:, None] + number) % 2 == 0
    return csr_matrix(likes & ~np.eye(size, dtype=bool), dtype=np.float32)


def fitted(size=50, cls=AlternatingLeastSquares, **parameters):
    model = AnnxModel(
        cls(factors=32, regularization=0, random_state=23, num_threads=1), **parameters
    )
    model.fit(checkerboard(size), show_progress=False)
    return model


@pytest.fixture(scope="module")
def board():
    with threadpool_limits(1, "blas"):
        return fitted()


@pytest.fixture(scope="module")
def big_board():
    with threadpool_limits(1, "blas"):
        return fitted(256)


@pytest.fixture(scope="module")
def trained():
    """Factors of likes that depend on taste and on how popular an item is, and the likes."""
    rng = np.random.default_rng(5)
    users, items, taste = 1500, 4000, 12
    popularity = rng.standard_normal(items) - 3.5
    affinity = rng.standard_normal((users, taste)) @ rng.standard_normal((taste, items))
    likes = affinity * 0.5 + popularity + rng.gumbel(size=(users, items)) > 1.5
    # Histories of very unlike lengths, up to a third of all there is.
    likes[:20] |= rng.random((20, items)) < 0.33
    user_items = csr_matrix(likes, dtype=np.float32)
    with threadpool_limits(1, "blas"):
        als = AlternatingLeastSquares(factors=32, iterations=5, random_state=1, num_threads=1)
        als.fit(user_items, show_progress=False)
        return AnnxModel(als, recall=0.99), user_items


def test_is_a_recommender(board):
    assert isinstance(board, RecommenderBase)


def test_recommends_the_withheld_item_to_one_and_to_many(board):
    likes = checkerboard(50)
    ids, scores = board.recommend(np.arange(50), likes, N=1)
    np.testing.assert_array_equal(ids[:, 0], np.arange(50))
    for user in range(50):
        one, score = board.recommend(user, likes[user], N=1)
        assert one.tolist() == [user]
        np.testing.assert_allclose(score, scores[user], rtol=1e-6)
    some = np.array([2, 3, 4])
    np.testing.assert_array_equal(board.recommend(some, likes[some], N=1)[0][:, 0], some)


def test_more_items_than_there_are(board):
    likes = checkerboard(50)
    ids, scores = board.recommend(0, likes[0], N=10_000)
    assert len(ids) == len(scores) == 50 - likes[0].nnz
    assert set(ids) == set(range(50)) - set(likes[0].indices)
    ids, scores = board.recommend(np.arange(3), likes[:3], N=60)
    assert ids.shape == scores.shape == (3, 60)
    assert (ids[:, 26:] == -1).all() and (scores[:, 26:] < -1e38).all()


def test_items_left_out_for_all(board):
    likes = checkerboard(50)
    ids, _ = board.recommend(np.arange(50), likes, N=5, filter_items=[0, 7])
    assert not np.isin(ids, [0, 7]).any()
    ids, _ = board.recommend(4, likes[4], filter_items=[4], filter_already_liked_items=False)
    assert 4 not in ids and len(ids) == 10
    ids, _ = board.recommend(4, None, filter_already_liked_items=False)
    assert len(ids) == 10


def test_items_ranked_alone(board):
    likes = checkerboard(50)
    ids, _ = board.recommend(0, likes[0], items=np.arange(1, 7), N=20)
    assert set(ids) == {1, 2, 3, 4, 5, 6} and set(ids[3:]) == {2, 4, 6}
    with pytest.raises(IndexError):
        board.recommend(0, likes[0], items=[1, 300])
    ids, _ = board.recommend(np.arange(50), likes, items=np.arange(10) * 3)
    assert all(set(row) == set(range(0, 30, 3)) for row in ids)


def test_recalculates_users(board):
    likes = checkerboard(50)
    ids, scores = board.recommend(np.arange(50), likes, N=1)
    again = board.recommend(np.arange(50), likes, N=1, recalculate_user=True)
    np.testing.assert_array_equal(again[0], ids)
    np.testing.assert_allclose(again[1], scores, atol=1e-3)
    one = board.recommend(0, likes[17], N=1, recalculate_user=True)
    assert one[0].tolist() == [17]


def test_evaluates_with_implicits_own_functions(board):
    eye = csr_matrix(np.eye(50))
    assert precision_at_k(board, checkerboard(50), eye, K=1, show_progress=False) == 1


@pytest.mark.parametrize("kind", ["items", "users"])
def test_similar_ones_have_the_same_parity(big_board, kind):
    similar = getattr(big_board, f"similar_{kind}")
    ids, scores = similar(np.arange(50), N=10)
    assert ids.shape == (50, 10)
    np.testing.assert_array_equal(ids[:, 0], np.arange(50))
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-5)
    assert (ids % 2 == np.arange(50)[:, None] % 2).all()
    one = similar(7, N=10)
    np.testing.assert_allclose(one[1], scores[7], atol=1e-6)
    ids, _ = similar(np.arange(50), 10, **{f"filter_{kind}": np.arange(52) * 5})
    assert (ids % 5 != 0).all()
    ids, _ = similar(np.arange(50), 10, **{kind: np.arange(10)})
    assert all(set(row) == set(range(10)) for row in ids)


def test_recalculates_items(big_board):
    ids, _ = big_board.similar_items(
        np.arange(50), recalculate_item=True, item_users=checkerboard(256).T.tocsr()[:50]
    )
    assert (ids % 2 == np.arange(50)[:, None] % 2).all()


def test_items_that_no_one_likes_are_like_nothing():
    likes = checkerboard(50).toarray()
    likes[[42, 49]] = likes[:, [42, 49]] = 0
    model = AnnxModel(AlternatingLeastSquares(factors=8, random_state=0, num_threads=1))
    model.fit(csr_matrix(likes), show_progress=False)
    assert not model.model.item_factors[42].any()
    assert not np.isin(model.similar_items(np.arange(40), 10)[0], [42, 49]).any()
    assert len(model.similar_items(42, 5)[0]) == 5  # as the model itself: any, at score 0


def test_other_models_by_inner_product():
    model = AnnxModel(
        BayesianPersonalizedRanking(factors=15, random_state=0, num_threads=1, iterations=30)
    )
    likes = checkerboard(80)
    model.fit(likes.astype(np.float64), show_progress=False)
    want = model.model.recommend(np.arange(80), likes, N=5)
    got = model.recommend(np.arange(80), likes, N=5)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5, atol=1e-6)
    with pytest.raises(NotImplementedError):
        model.recommend(0, likes[0], recalculate_user=True)


def test_recall_of_a_trained_model(trained):
    model, likes = trained
    users = np.arange(500)
    want = model.model.recommend(users, likes[users], N=10)
    got = model.recommend(users, likes[users], N=10)
    found = [len(np.intersect1d(a, b)) for a, b in zip(want[0], got[0], strict=True)]
    assert np.mean(found) > 9.8
    assert np.mean(found[:20]) > 9.5  # the users who have seen most
    for user, row in enumerate(got[0]):
        assert not np.isin(row, likes[user].indices).any()
    # Scores are those of the factors themselves, and in order.
    factors = model.model
    products = np.einsum("uf,ukf->uk", factors.user_factors[users], factors.item_factors[got[0]])
    np.testing.assert_allclose(got[1], products, rtol=1e-5)
    assert (np.diff(got[1], axis=1) <= 0).all()


@pytest.mark.parametrize("kind", ["items", "users"])
def test_recall_of_similar_ones(trained, kind):
    model, _ = trained
    want = getattr(model.model, f"similar_{kind}")(np.arange(300), 10)
    got = getattr(model, f"similar_{kind}")(np.arange(300), 10)
    found = [len(np.intersect1d(a, b)) for a, b in zip(want[0], got[0], strict=True)]
    assert np.mean(found) > 9.7
    np.testing.assert_allclose(got[1][:, 0], want[1][:, 0], atol=1e-5)


@pytest.mark.parametrize("recall", [0.8, 0.99])
def test_recall_asked_for_is_recall_found(trained, recall):
    model, _ = trained
    goal = AnnxModel(
        model.model,
        recall=recall,
        approximate_similar_items=False,
        approximate_similar_users=False,
    )
    for count in (10, 100):
        want = model.model.recommend(np.arange(1500), None, count, False)[0]
        got = goal.recommend(np.arange(1500), None, count, False)[0]
        found = [len(np.intersect1d(a, b)) for a, b in zip(want, got, strict=True)]
        assert np.mean(found) / count > recall - 0.02
    wide = AnnxModel(model.model, ef_search=1, approximate_similar_users=False)
    assert len(wide.recommend(0, None, 10, False)[0]) == 10


def test_metrics_are_those_of_exact_scores(trained):
    model, likes = trained
    rng = np.random.default_rng(0)
    kept = likes.multiply(rng.random(likes.shape) < 0.7).tocsr()
    held = (likes - kept).tocsr()[:300]
    exact, ours = (
        ranking_metrics_at_k(each, kept[:300], held, K=10, show_progress=False, num_threads=1)
        for each in (model.model, model)
    )
    assert exact.keys() == ours.keys()
    for name, value in exact.items():
        assert ours[name] == pytest.approx(value, abs=0.01)


def test_inner_product_is_not_cosine(trained):
    model, _ = trained
    factors = model.model
    ids, _ = model.recommend(np.arange(200), None, N=10, filter_already_liked_items=False)
    # Long vectors win by product, which an index by cosine would not see.
    norms = np.linalg.norm(factors.item_factors, axis=1)
    assert norms[ids].mean() > 2 * norms.mean()


def test_new_factors_are_swapped_in(trained):
    model, _ = trained
    old = model.indexes
    other = AnnxModel(
        pickle.loads(pickle.dumps(model.model)),
        approximate_similar_items=False,
        approximate_similar_users=False,
        recall=1.0,
    )
    other.model.item_factors = -other.model.item_factors
    before = other.indexes["recommend"]
    other.refresh()
    assert other.indexes["recommend"] is not before and model.indexes == old
    want = other.model.recommend(3, None, filter_already_liked_items=False)
    got = other.recommend(3, None, filter_already_liked_items=False)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5)


@pytest.mark.parametrize("way", ["save", "path", "pickle"])
def test_comes_back(board, tmp_path, way):
    if way == "save":
        file = io.BytesIO()
        board.save(file)
        file.seek(0)
        again = AnnxModel.load(file)
    elif way == "path":
        board.save(str(tmp_path / "model"))
        again = AnnxModel.load(str(tmp_path / "model"))
    else:
        again = pickle.loads(pickle.dumps(board))
    likes = checkerboard(50)
    for method in ("recommend", "similar_items", "similar_users"):
        rest = (likes,) if method == "recommend" else ()
        want = getattr(board, method)(np.arange(50), *rest)
        got = getattr(again, method)(np.arange(50), *rest)
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1], want[1])
    again.fit(likes, show_progress=False)


def test_a_file_names_no_class_but_implicits(board, tmp_path):
    board.save(tmp_path / "model.npz")
    arrays = dict(np.load(tmp_path / "model.npz"))
    for kind in (
        "os:system",
        "subprocess:Popen",
        "implicit.als:nothing",
        "implicit.utils:nonzeros",
    ):
        np.savez(tmp_path / "bad.npz", **{**arrays, "kind": kind})
        with pytest.raises(FormatError, match="model of implicit"):
            AnnxModel.load(tmp_path / "bad.npz")
    whole = (tmp_path / "model.npz").read_bytes()
    for missing in ("kind", "model", "widths_recommend"):
        np.savez(tmp_path / "bad.npz", **{k: v for k, v in arrays.items() if k != missing})
        with pytest.raises(FormatError, match=missing):
            AnnxModel.load(tmp_path / "bad.npz")
    for damaged in (b"", whole[:1000], b"x" * 100):
        (tmp_path / "bad.npz").write_bytes(damaged)
        with pytest.raises(FormatError):
            AnnxModel.load(tmp_path / "bad.npz")


def test_parts_that_the_model_answers(monkeypatch):
    model = fitted(approximate_similar_users=False, approximate_similar_items=False)
    assert list(model.indexes) == ["recommend"]
    want = model.model.similar_users(3)
    np.testing.assert_array_equal(model.similar_users(3)[0], want[0])
    np.testing.assert_array_equal(
        model.similar_items([3, 4])[0], model.model.similar_items([3, 4])[0]
    )


def test_bad_input(board):
    likes = checkerboard(50)
    for wrong in (likes.tocsc(), likes.tocoo(), None, likes):
        with pytest.raises(ParameterError, match="user_items"):
            board.recommend(0, wrong)
    with pytest.raises(IndexError):
        board.recommend(50, likes[0])
    with pytest.raises(IndexError):
        board.similar_items(50)


def test_a_deny_list_for_each_query_costs_no_recall_where_most_is_seen(board):
    index = board.indexes["recommend"]
    likes = checkerboard(50)
    queries = board.model.user_factors
    denied = [~Filter(index, likes[user].indices) for user in range(50)]
    want = index.exact_search(queries, 5, filter=denied).labels
    np.testing.assert_array_equal(index.search(queries, 5, filter=denied).labels, want)
