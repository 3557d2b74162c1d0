"""The retrieval index: Chroma on disk and BM25 in memory over the same documents.

Chroma is given vectors, never texts to embed: with its own embedding function it would
download a model. One process per folder; that is Chroma's rule.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import chromadb
import numpy as np
from chromadb.config import Settings as ChromaSettings
from rank_bm25 import BM25Okapi

from genai_assistant.retrieval.corpus import KINDS, Document, corpus_hash
from genai_assistant.retrieval.embedder import Embedder, HashedTfidf, tokens

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

COLLECTION = "threat-corpus"
RANK_CONSTANT = 60
CANDIDATES = 30
LEXICAL_WEIGHT = 2.0
"""What BM25's ranking counts beside the vectors' (``make bench-retrieval``)."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A document found, best first; ``score`` is comparable within one query only."""

    document: Document
    score: float


class ThreatIndex:
    """Finds techniques and rules; safe to call from several threads."""

    def __init__(
        self, data_dir: Path, corpus: dict[str, Document], sentences: Embedder | None = None
    ) -> None:
        """Open the index, and build it when it is new or was built differently.

        Args:
            data_dir: Folder of the store.
            corpus: What to hold, by id.
            sentences: A sentence model; without it, vectors are hashed words.
        """
        self._corpus = corpus
        self._embedder: Embedder = sentences or HashedTfidf(one.text for one in corpus.values())
        self._fingerprint = f"{self._embedder.fingerprint}:{corpus_hash(corpus)}"
        self._lock = threading.Lock()
        path = data_dir / "chroma"
        path.mkdir(parents=True, exist_ok=True)
        # The factory's declared type lacks close(), which the object has.
        self._client = cast(
            "Client",
            chromadb.PersistentClient(
                path=str(path), settings=ChromaSettings(anonymized_telemetry=False)
            ),
        )
        self._collection = self._open()
        self._load()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def fingerprint(self) -> str:
        """Which embedder and corpus the index was built with."""
        return self._fingerprint

    @property
    def client(self) -> "Client":
        """The store, for other collections in the same folder: one process each."""
        return self._client

    @property
    def embedder(self) -> Embedder:
        """What makes its vectors."""
        return self._embedder

    def close(self) -> None:
        """Let go of the folder."""
        self._client.close()

    def seed(self) -> int:
        """Put the whole corpus in; return the number of documents."""
        with self._lock:
            self._fill(self._collection)
            self._load()
            return len(self._ids)

    def reset(self) -> None:
        """Take every document out. It stays empty, also over a restart, until seeded."""
        with self._lock:
            if ids := self._collection.get(include=[])["ids"]:
                self._collection.delete(ids=ids)
            self._load()

    def query(self, text: str, top_k: int, kinds: frozenset[str] = KINDS) -> list[Hit]:
        """Return the ``top_k`` documents of ``kinds`` nearest to ``text``, best first."""
        with self._lock:
            if not self._ids:
                return []
            rankings = (
                (1.0, self._by_vector(text)),
                (LEXICAL_WEIGHT, self._by_words(text)),
            )
        scores: dict[str, float] = {}
        for weight, ranking in rankings:
            for rank, document_id in enumerate(ranking, start=1):
                scores[document_id] = scores.get(document_id, 0) + weight / (RANK_CONSTANT + rank)
        best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
        hits = [Hit(self._corpus[document_id], round(score, 6)) for document_id, score in best]
        return [hit for hit in hits if hit.document.kind in kinds][:top_k]

    def get(self, document_id: str) -> Document | None:
        """Return a document by id, while it is in the index."""
        return self._corpus[document_id] if document_id in self._ids else None

    def _open(self) -> "Collection":
        """Open the collection; make and fill it when it is new or was built differently."""
        known = {collection.name for collection in self._client.list_collections()}
        if COLLECTION in known:
            collection = self._client.get_collection(COLLECTION, embedding_function=None)
            if (collection.metadata or {}).get("fingerprint") == self._fingerprint:
                return collection
            self._client.delete_collection(COLLECTION)
        collection = self._client.create_collection(
            COLLECTION,
            embedding_function=None,
            metadata={"fingerprint": self._fingerprint},
            configuration={"hnsw": {"space": "cosine"}},
        )
        self._fill(collection)
        return collection

    def _fill(self, collection: "Collection") -> None:
        documents = list(self._corpus.values())
        metadatas: list[Any] = [{"kind": one.kind, "name": one.name} for one in documents]
        collection.upsert(
            ids=[document.id for document in documents],
            embeddings=np.stack([self._embedder.embed(document.text) for document in documents]),
            documents=[document.text for document in documents],
            metadatas=metadatas,
        )

    def _load(self) -> None:
        """Build BM25 over what the collection holds, so that deletions count in both."""
        held = self._collection.get(include=[])["ids"]
        self._ids: list[str] = sorted(name for name in held if name in self._corpus)
        texts = [tokens(self._corpus[name].text) for name in self._ids]
        self._bm25 = BM25Okapi(texts) if texts else None

    def _by_vector(self, text: str) -> Sequence[str]:
        found = self._collection.query(
            query_embeddings=self._embedder.embed(text)[np.newaxis],
            n_results=min(CANDIDATES, len(self._ids)),
            include=[],
        )
        return [name for name in found["ids"][0] if name in self._corpus]

    def _by_words(self, text: str) -> Sequence[str]:
        if self._bm25 is None:
            return []
        scores = self._bm25.get_scores(tokens(text))
        ranked = sorted(zip(scores, self._ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
        return [name for score, name in ranked[:CANDIDATES] if score > 0]
