"""Past analyses by likeness: what was written about earlier alerts of the same kind.

The serving layer owns the analyses; ``follow`` keeps a copy of the newest ones as vectors. Only
words of our own on their techniques are embedded, never log text: what an attacker writes must
not choose what is found.
"""

import asyncio
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from contracts.api import Analysis, Page
from genai_assistant.errors import ServingError
from genai_assistant.evidence import REAL_TIME, Record
from genai_assistant.retrieval.corpus import Document
from genai_assistant.retrieval.embedder import Embedder
from genai_assistant.serving_client import Params, ServingClient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

logger = logging.getLogger(__name__)

COLLECTION = "past-analyses"
VERSION = "1"
PAGE = 1000
NEWEST = 100
"""When these are known and the number is the same, nothing is read again."""
MAX_HELD = 5000
"""The newest so many are held."""


class Total(BaseModel):
    """How many analyses the serving layer holds."""

    count: int


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier analysis and how near it is, 0..1."""

    id: str
    alert_id: str
    user: str
    severity: str
    techniques: tuple[str, ...]
    created_at: int
    likeness: float

    def record(self) -> Record:
        """Return what is shown and cited."""
        return {
            "analysis_id": self.id,
            "alert_id": self.alert_id,
            "user": self.user,
            "severity": self.severity,
            "techniques": list(self.techniques),
            "created_at": self.created_at,
        }


class PastAnalyses:
    """A copy of the serving layer's newest analyses; safe to call from several threads.

    Args:
        client: The store, shared with the threat corpus.
        embedder: Gives the vectors; vectors of another embedder are dropped and made anew.
        corpus: Names of techniques, by id.
    """

    def __init__(self, client: "Client", embedder: Embedder, corpus: dict[str, Document]) -> None:
        self._embedder = embedder
        self._corpus = corpus
        self._lock = threading.Lock()
        self._collection = _opened(client, f"{VERSION}:{embedder.fingerprint}")
        self._held: set[str] = set(self._collection.get(include=[])["ids"])
        self.followed = 0
        """How many analyses the serving layer held when they were last read."""

    def __len__(self) -> int:
        return len(self._held)

    def has_all(self, ids: "Iterable[str]") -> bool:
        """Say whether all of these are held."""
        return self._held.issuperset(ids)

    def keep(self, analyses: "Iterable[Analysis]") -> int:
        """Make the copy hold exactly these analyses; return how many were new.

        What is no longer among them was deleted, or is too old: it is not found again.
        """
        wanted = {one.id: one for one in analyses}
        with self._lock:
            if gone := sorted(self._held - wanted.keys()):
                self._collection.delete(ids=gone)
            new = [one for key, one in wanted.items() if key not in self._held]
            if new:
                self._add(new)
            self._held = set(wanted)
        return len(new)

    def like(self, text: str, top_k: int, user: str | None = None) -> list[Past]:
        """Return the ``top_k`` nearest to ``text``, best first; of one user where named."""
        with self._lock:
            if not self._held:
                return []
            found = self._collection.query(
                query_embeddings=self._embedder.embed(text)[np.newaxis],
                n_results=min(top_k, len(self._held)),
                where={"user": user} if user else None,
                include=["metadatas", "distances"],
            )
        metadatas = found["metadatas"] or [[]]
        distances = found["distances"] or [[]]
        rows = zip(found["ids"][0], metadatas[0], distances[0], strict=True)
        return [_past(key, dict(fields), distance) for key, fields, distance in rows]

    def _add(self, analyses: list[Analysis]) -> None:
        metadatas: list[Any] = [
            {
                "alert_id": one.alert_id or one.event_id,
                "user": one.user,
                "severity": one.severity,
                "techniques": " ".join(one.techniques),
                "created_at": one.created_at,
            }
            for one in analyses
        ]
        vectors = np.stack([self._embedder.embed(self.words(one.techniques)) for one in analyses])
        self._collection.upsert(
            ids=[one.id for one in analyses], embeddings=vectors, metadatas=metadatas
        )

    def words(self, techniques: "Iterable[str]") -> str:
        """Describe techniques in words of our own; those that nobody knows say nothing."""
        known = [self._corpus[name] for name in techniques if name in self._corpus]
        return " ".join(f"{one.id} {one.name} {one.words}" for one in known)


async def follow(past: PastAnalyses, serving: ServingClient) -> int:
    """Read the newest analyses from the serving layer and keep those; return how many were new.

    Raises:
        ServingError: If a page cannot be read; then the copy stays as it was.
    """
    total = (await serving.get("/api/analyses/count", Total, {}, REAL_TIME)).count
    newest = await _page(serving, NEWEST, None)
    if total == past.followed and past.has_all(one.id for one in newest.data):
        return 0
    found: list[Analysis] = []
    cursor: str | None = None
    while len(found) < MAX_HELD:
        page = await _page(serving, PAGE, cursor)
        found += page.data
        cursor = page.next_cursor
        if cursor is None:
            break
    new = await asyncio.to_thread(past.keep, found[:MAX_HELD])
    past.followed = total
    return new


async def may_read(serving: ServingClient) -> bool:
    """Say whether the caller's key may read analyses, by asking the serving layer with it."""
    try:
        await serving.get("/api/analyses/count", Total, {}, REAL_TIME)
    except ServingError:
        return False
    return True


async def follow_for_ever(past: PastAnalyses, serving: ServingClient, seconds: float) -> None:
    """Follow until cancelled; a serving layer that is away is asked again later."""
    while True:
        try:
            await follow(past, serving)
        except ServingError as error:
            logger.info("past analyses are as they were: %s", error)
        await asyncio.sleep(seconds)


async def _page(serving: ServingClient, limit: int, cursor: str | None) -> Page[Analysis]:
    params: Params = {"limit": limit, "cursor": cursor}
    return await serving.get("/api/analyses", Page[Analysis], params, REAL_TIME)


def _past(key: str, fields: dict[str, Any], distance: float) -> Past:
    return Past(
        id=key,
        alert_id=fields["alert_id"],
        user=fields["user"],
        severity=fields["severity"],
        techniques=tuple(fields["techniques"].split()),
        created_at=fields["created_at"],
        likeness=round(1 - distance, 4),
    )


def _opened(client: "Client", fingerprint: str) -> "Collection":
    """Open the collection; an empty one where there is none, or one of another embedder."""
    if COLLECTION in {collection.name for collection in client.list_collections()}:
        collection = client.get_collection(COLLECTION, embedding_function=None)
        if (collection.metadata or {}).get("fingerprint") == fingerprint:
            return collection
        client.delete_collection(COLLECTION)
    return client.create_collection(
        COLLECTION,
        embedding_function=None,
        metadata={"fingerprint": fingerprint},
        configuration={"hnsw": {"space": "cosine"}},
    )
