"""The part of `Collection` that searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from annx import _validate
from annx.collection import _fusion, _request, _rerank, _search
from annx.collection._hits import Hits
from annx.collection._prior import Prior
from annx.collection._snippets import Highlight
from annx.collection._text import TextQuery
from annx.collection._view import View
from annx.errors import ParameterError


class Searchable:
    """Finds documents by words, vectors and sparse vectors."""

    _view: View

    def search(
        self,
        text: str | TextQuery | Mapping[str, str | TextQuery] | None = None,
        *,
        vector: Any = None,
        sparse: Any = None,
        k: int = 10,
        filter: Any = None,
        fusion: _fusion.Method = "rrf",
        weights: Mapping[str, float] | Sequence[float] | None = None,
        rank_constant: float = 60,
        norm: _fusion.Norm = "min-max",
        window: int | None = None,
        ef_search: int | None = None,
        recall: float | None = None,
        prior: Prior | None = None,
        reranker: Any = None,
        features: Sequence[str] | None = None,
        group_by: str | None = None,
        max_per_group: int = 1,
        diversity: float = 0.0,
        diversity_field: str | None = None,
        facets: str | Sequence[str] | Mapping[str, int] | None = None,
        facet_scope: Literal["matches", "candidates"] = "matches",
        highlight: bool | Sequence[str] | Highlight | None = None,
        cursor: str | None = None,
        vectors: bool = False,
    ) -> Hits:
        """Find the documents that fit a query best.

        Each of `text`, `vector` and `sparse`, and each field of these, is a retriever. What
        several of them find is fused.

        Parameters
        ----------
        text : str, TextQuery, or mapping of text field to these, optional
            Words for BM25. Nothing in a str is an operator; `TextQuery` has phrases, fuzzy words,
            prefixes, a query language. A mapping makes each field a retriever of its own. Without
            `vector`, words are also embedded where the collection has `embed`.
        vector : array_like of shape (dim,), str, False, or mapping of vector field to these, \
optional
            A str is embedded. Of shape (n, dim): n retrievers. False: words alone, though the
            collection has `embed`.
        sparse : mapping of int to float, pair of arrays, sparse row, or mapping of field to these
            Scored by inner product.
        k : int
        filter : mapping or Expression, optional
            Which documents may be found; see `annx.filters`.
        fusion : {"rrf", "wsum"}
            See `fuse`, also for `rank_constant` and `norm`.
        weights : mapping of retriever to float, or sequence of float, optional
            Of the retrievers: ``"text"``, and vector and sparse fields by name. 1 each by
            default.
        window : int, optional
            How many candidates each retriever gives. By default 100, or `k` if that is more, and
            more where groups or pages need them.
        ef_search, recall
            As for `annx.Index.search`. By default a beam of the field's `ef_search`, or of
            `window` and 3 times as much, at most 300, beyond it, if that is wider.
        prior : Prior, optional
            Multiplies fused scores: `Decay`, `Popularity`, or an object like them.
        reranker : object, optional
            Scores the `window` best candidates anew. An object with ``predict(features)``, such
            as LightGBM's ranker, is given `Hits.features` of them. A callable is given the words
            and a list of texts, the text fields of each document joined by a line's end, and
            returns a score for each; a cross-encoder of sentence-transformers is given pairs.
        features : sequence of str, optional
            Fields that `Hits.features` has as columns; may be empty.
        group_by : str, optional
            At most `max_per_group` hits with the same value of this field. Documents without a
            value are no group.
        max_per_group : int
        diversity : float
            From 0, none, to 1: maximal marginal relevance, by the cosine of `diversity_field`.
        diversity_field : str, optional
            A vector field; by default the one that is searched.
        facets : str, sequence of str, or mapping of str to int, optional
            Fields to count values of, with how many values to give, 10 by default.
        facet_scope : {"matches", "candidates"}
            Count over all documents that pass the filter and, without a vector query, hold what
            is asked for; or over what the retrievers gave within the window.
        highlight : bool, sequence of str, or Highlight, optional
            Give snippets of text fields with the words that were found.
        cursor : str, optional
            ``hits.cursor`` of the page before. All else but `k` must be the same. Whatever is
            written between pages, a document that was shown does not come again, and one that is
            there throughout comes on some page. An id that was deleted and inserted again is a
            new document.
        vectors : bool
            Give documents with their vectors.

        Returns
        -------
        Hits
            Of equal scores, the document whose id came first stands first.

        Raises
        ------
        ParameterError
            Nothing to search by, a field that is not there, an option out of range.
        FilterError
            The filter cannot be read.
        CursorError
            The cursor is damaged, or of another search.
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError, DocumentError
            A vector or sparse vector cannot be read.

        Examples
        --------
        >>> import annx, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> cities = annx.Collection.open(folder.name, dim=2, metric="cosine")
        >>> _ = cities.upsert([
        ...     {"id": "oslo", "vector": [1.0, 0.0], "country": "no"},
        ...     {"id": "bergen", "vector": [0.8, 0.6], "country": "no"},
        ...     {"id": "paris", "vector": [0.6, 0.8], "country": "fr"},
        ... ])
        >>> cities.search(vector=[1.0, 0.1], k=2).ids
        ['oslo', 'bergen']
        >>> cities.search(vector=[1.0, 0.1], k=2, group_by="country").ids
        ['oslo', 'paris']
        >>> hits = cities.search(vector=[1.0, 0.1], filter={"country": "fr"}, facets="country")
        >>> hits[0].explain().passing, hits.facets
        (1, {'country': [('fr', 1)]})
        >>> cities.close(); folder.cleanup()
        """
        schema = self._view.schema
        _validate.choice(facet_scope, "facet_scope", ("matches", "candidates"))
        runs = _request.read_runs(schema, self._view.embedder, text, vector, sparse)
        scale = _request.read_weights(weights, runs)
        _fusion.check(len(runs), fusion, scale, rank_constant, window, norm)
        _request.check_prior(prior)
        if prior is not None and fusion == "wsum" and norm != "min-max":
            raise ParameterError(f"expected norm 'min-max' with a prior, got {norm!r}")
        _rerank.check(reranker)
        if group_by is not None and not isinstance(group_by, str):
            raise ParameterError(f"expected group_by as the name of a field, got {group_by!r}")
        spread, diverse_by = _request.read_diversity(diversity, diversity_field, runs, schema)
        most = _validate.integer(max_per_group, "max_per_group", 1, 1_000_000)
        said = _request.digest_of(
            runs,
            filter,
            (fusion, scale, rank_constant, norm, window, ef_search, recall),
            (_request.tell_apart(prior), group_by, most, spread, diverse_by, reranker is None),
        )
        before = _request.resume(cursor, said)
        request = _request.Request(
            runs=runs,
            k=_validate.integer(k, "k", 1, 1_000_000),
            filter=filter,
            method=fusion,
            weights=scale,
            rank_constant=rank_constant,
            norm=norm,
            window=_request.read_window(window, before),
            window_fixed=window is not None,
            ef_search=ef_search,
            recall=recall,
            group_by=group_by,
            max_per_group=most,
            diversity=spread,
            diverse_by=diverse_by,
            prior=prior,
            reranker=reranker,
            features=None if features is None else tuple(_validate.names(features, "features")),
            facets=_request.read_facets(facets),
            facet_scope=facet_scope,
            highlight=_request.read_highlight(highlight),
            vectors=vectors,
            digest=said,
            seen=() if before is None else before.seen,
        )
        return _search.search(self._view, request)
