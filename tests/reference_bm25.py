"""BM25 as tantivy has it, one document at a time."""

from __future__ import annotations

import math
import re
from collections import Counter

K1, B = 1.2, 0.75


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def scores(query, documents, boosts):
    """Score by row; rows without any of the words are left out.

    Parameters
    ----------
    query : str
    documents : mapping of row to mapping of field to text
        Of 40 words or fewer: tantivy rounds the lengths of longer ones.
    boosts : mapping of field to float
    """
    total: dict[int, float] = {}
    count = len(documents)
    for field, boost in boosts.items():
        terms = {row: words(document.get(field) or "") for row, document in documents.items()}
        mean = sum(map(len, terms.values())) / max(count, 1)
        frequency = Counter(word for each in terms.values() for word in set(each))
        for word in words(query):
            idf = math.log1p((count - frequency[word] + 0.5) / (frequency[word] + 0.5))
            for row, each in terms.items():
                if tf := each.count(word):
                    length = 1 - B + B * len(each) / mean
                    part = boost * idf * tf * (K1 + 1) / (tf + K1 * length)
                    total[row] = total.get(row, 0.0) + part
    return total
