"""What the demo found, as a part of its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found."""

    words: str
    definition: str
    similarity: float
    is_own: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's text and what was found for it, nearest first."""

    query: str
    hits: Sequence[Hit]


def html(answers: Sequence[Answer]) -> str:
    """Write the queries and what was found for them."""
    out = []
    for answer in answers:
        items = "".join(
            f"<li><b>{escape(hit.words)}</b>: {escape(hit.definition)} "
            f'<span class="soft">{hit.similarity:.3f}</span>'
            f"{' <span class=own-text>the definition it illustrates</span>' if hit.is_own else ''}"
            "</li>\n"
            for hit in answer.hits
        )
        out.append(f'<div class="query"><p>{escape(answer.query)}</p><ol>{items}</ol></div>')
    return "<h2>What it finds</h2>\n" + "\n".join(out)
