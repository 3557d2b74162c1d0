"""A light text vector of our own: hashed words and character n-grams, weighted by rarity.

Deterministic and without any download. The weights come from the corpus, so the same corpus
and version always give the same vectors; ``fingerprint`` says which.
"""

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genai_assistant.lexicon import word_list

VERSION = "hashed-tfidf-1"
DIMENSIONS = 1024
NGRAM_SIZES = (4, 5)
NGRAM_WEIGHT = 0.3


class Embedder(Protocol):
    """Turns text into a unit vector; the same fingerprint always gives the same vectors."""

    fingerprint: str

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the vector of ``text``."""
        ...


STOP_WORDS = frozenset(word_list("stop_words"))
SUFFIXES = ("ations", "ation", "ings", "ing", "edly", "ies", "ers", "ed", "es", "er", "s", "ly")
MIN_STEM = 4


def tokens(text: str) -> list[str]:
    """Split text into lower-case stems.

    Examples:
        >>> tokens("Failed logins of users")
        ['fail', 'login', 'user']
    """
    words = re.findall(r"[a-z0-9]+(?:\.[0-9]+)?", text.lower())
    return [_stem(word) for word in words if word not in STOP_WORDS]


def _stem(word: str) -> str:
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= MIN_STEM:
            return word[: -len(suffix)]
    return word


class HashedTfidf:
    """Turns text into a unit vector of ``DIMENSIONS`` numbers."""

    def __init__(self, corpus: Iterable[str]) -> None:
        texts = list(corpus)
        documents = Counter(feature for text in texts for feature in set(_features(text)))
        total = len(texts)
        self._rarity = {
            feature: float(np.log((1 + total) / (1 + count)) + 1)
            for feature, count in documents.items()
        }
        self._unseen = float(np.log(1 + total) + 1)
        digest = hashlib.sha256("\x00".join(texts).encode())
        digest.update(repr((VERSION, DIMENSIONS, NGRAM_SIZES, NGRAM_WEIGHT)).encode())
        self.fingerprint = f"{VERSION}:{digest.hexdigest()[:16]}"

    def embed(self, text: str) -> NDArray[np.float32]:
        """Return the vector of ``text``; a text without any word is the zero-safe first axis."""
        vector = np.zeros(DIMENSIONS, dtype=np.float32)
        for feature, count in Counter(_features(text)).items():
            code = zlib.crc32(feature.encode())
            sign = 1.0 if code & 0x80000000 else -1.0
            weight = 1.0 if feature.startswith("w:") else NGRAM_WEIGHT
            rarity = self._rarity.get(feature, self._unseen)
            vector[code % DIMENSIONS] += sign * weight * rarity * (1 + np.log(count))
        norm = float(np.linalg.norm(vector))
        if norm == 0.0:
            vector[0] = norm = 1.0
        return vector / np.float32(norm)


def _features(text: str) -> Iterator[str]:
    for token in tokens(text):
        yield f"w:{token}"
        padded = f"^{token}$"
        for size in NGRAM_SIZES:
            for start in range(len(padded) - size + 1):
                yield f"c:{padded[start : start + size]}"
