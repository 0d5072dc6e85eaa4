"""What comes with hits: facets, highlights, the next page."""

from __future__ import annotations

import base64
from collections import Counter

import pytest

pytest.importorskip("tantivy")

from collection_jobs import COUNT, WORDS

from annx.collection import Collection, Highlight, Popularity
from annx.errors import CursorError

# Facets and highlights


def test_facets_count_the_matches(jobs, queries):
    def counted(documents, field):
        count = Counter()
        for document in documents:
            values = document.get(field)
            for value in values if isinstance(values, list) else [values]:
                if value is not None:
                    count[value] += 1
        return dict(count)

    documents = list(jobs)
    fields = {"city": 100, "tags": 100, "rate": 1000}
    red = [d for d in documents if "red" in f"{d.get('title', '')} {d['body']}".split()]
    found = jobs.search("red", k=3, facets=fields)
    assert {name: dict(found.facets[name]) for name in fields} == {
        name: counted(red, name) for name in fields
    }
    found = jobs.search("red", k=3, facets=fields, filter={"rate": {"$lt": 30}})
    cheap = [d for d in red if d.get("rate", 99) < 30]
    assert dict(found.facets["city"]) == counted(cheap, "city")
    both = jobs.search(**queries, k=3, facets="city", filter={"rate": {"$lt": 30}})
    cheap = [d for d in documents if d.get("rate", 99) < 30]
    assert dict(both.facets["city"]) == counted(cheap, "city")
    query = queries["sparse"]
    share = [d for d in jobs.iterate(vectors=True)
             if "splade" in d and set(d["splade"][0].tolist()) & query.keys()]  # fmt: skip
    found = jobs.search(sparse=query, facets=["city"])
    assert dict(found.facets["city"]) == counted(share, "city")
    some = jobs.search(**queries, k=5, window=5, facets="tags", facet_scope="candidates")
    whole = jobs.search(**queries, k=20, window=5)
    assert dict(some.facets["tags"]) == counted(whole.documents, "tags")


def test_highlights(jobs):
    found = jobs.search("senior engineer", k=5, highlight=True)
    for hit in found:
        assert hit.highlights
        for name, snippet in hit.highlights.items():
            assert "<b>senior</b>" in snippet or "<b>engineer</b>" in snippet
            assert snippet.replace("<b>", "").replace("</b>", "") in hit[name]
    found = jobs.search("senior", highlight=Highlight(fields=["title"], before="*", after="*"))
    assert any("*senior*" in hit.highlights.get("title", "") for hit in found)
    assert jobs.search("senior", k=1)[0].highlights == {}


# Pages


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"group_by": "city", "max_per_group": 5},
        {"diversity": 0.4},
        {"prior": Popularity("clicks")},
        {"filter": {"tags": "a"}},
        {"reranker": lambda query, texts: [len(text) for text in texts]},
    ],
)
@pytest.mark.parametrize("kind", ["text", "vector", "all"])
def test_pages_are_one_search_in_parts(jobs, queries, options, kind):
    query = {
        "text": {"text": "senior data"},
        "vector": {"vector": {"vector": queries["vector"]["vector"]}},
        "all": queries,
    }[kind]
    whole = jobs.search(**query, k=60, window=100, **options)
    ids, cursor = [], None
    for _ in range(6):
        page = jobs.search(**query, k=10, window=100, cursor=cursor, **options)
        ids += page.ids
        cursor = page.cursor
        if cursor is None:
            break
    assert ids == whole.ids


def test_pages_go_to_the_end(jobs, queries):
    """Of one retriever, and of fused ones whose window grows: every match once."""
    for query in ({"text": "red"}, queries):
        everything = {hit.id for hit in jobs.search(**query, k=COUNT, window=COUNT)}
        ids, cursor = [], None
        while True:
            page = jobs.search(**query, k=37, cursor=cursor)
            ids += page.ids
            cursor = page.cursor
            if cursor is None:
                break
        assert len(ids) == len(set(ids)) and set(ids) == everything


def test_pages_are_stable_under_writes(tmp_path, rng):
    with Collection.open(tmp_path, dim=4, text="t") as docs:

        def document(n):
            vector = rng.standard_normal(4)
            return {"id": f"d{n}", "vector": vector, "t": " ".join(rng.choice(WORDS, 4)), "n": n}

        docs.upsert(document(n) for n in range(120))
        untouched = {f"d{n}" for n in range(0, 120, 2)}
        query, shown, cursor = rng.standard_normal(4), [], None
        new = 1000
        while True:
            page = docs.search("red fast data", vector=query, k=7, cursor=cursor)
            shown += page.ids
            cursor = page.cursor
            if cursor is None:
                break
            odd = [int(n) * 2 + 1 for n in rng.choice(60, 3)]
            docs.upsert([document(odd[0]), document(new), document(new + 1)])
            docs.delete([f"d{odd[1]}", f"d{new - 1}"])
            new += 2
        assert len(shown) == len(set(shown))
        assert untouched <= set(shown)


def test_a_document_comes_once_for_as_long_as_it_is_there(tmp_path):
    with Collection.open(tmp_path, text="t") as docs:
        docs.upsert({"id": f"d{n}", "t": "red", "n": n} for n in range(6))
        first = docs.search("red", k=2)
        assert first.ids == ["d0", "d1"]
        docs.upsert([{"id": "d0", "t": "red red", "n": 100}])  # replaced
        docs.update({"id": "d4", "n": 104})  # not shown yet
        docs.delete("d1")
        docs.upsert([{"id": "d1", "t": "red", "n": 101}])  # a new document
        docs.delete("d3")
        rest = docs.search("red", k=20, cursor=first.cursor)
        assert rest.ids == ["d2", "d4", "d5", "d1"]
        assert [hit["n"] for hit in rest] == [2, 104, 5, 101]


def test_cursors_are_refused_when_damaged_or_anothers(jobs, queries):
    cursor = jobs.search(**queries, k=5).cursor
    assert jobs.search(**queries, k=50, cursor=cursor)
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    damaged = ["", "x", "💥", "a" * 500_000, cursor[:-3], cursor + "AAAA", "é" * 10, 5]
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :]
        damaged.append(base64.urlsafe_b64encode(changed).decode())
    for text in damaged:
        with pytest.raises(CursorError):
            jobs.search(**queries, cursor=text)
    for other in ({"filter": {"city": "Oslo"}}, {"fusion": "wsum"}, {"text": "red"}):
        with pytest.raises(CursorError, match="another query"):
            jobs.search(**{**queries, **other}, cursor=cursor)
