"""``/rag/*``: retrieval over the threat corpus."""

import asyncio
import time

from fastapi import APIRouter

from genai_assistant.bodies import PastHit, RagAnswer, RagHit, RagQuery, RagState
from genai_assistant.dependencies import REFUSALS, IndexDep, OperatorOnly, PastDep, ServingDep
from genai_assistant.hostile import cleaned
from genai_assistant.retrieval.analyses import may_read

router = APIRouter(prefix="/rag", tags=["retrieval"])


@router.post("/query")
async def query(body: RagQuery, index: IndexDep, past: PastDep, serving: ServingDep) -> RagAnswer:
    """Find techniques, rules, runbooks and past analyses that fit a description, best first.

    Past analyses are told to callers whose key may read analyses.
    """
    started = time.perf_counter()
    hits = await asyncio.to_thread(index.query, body.words(), body.top_k)
    results = [RagHit(**hit.document.record(), score=hit.score) for hit in hits]
    is_allowed = await may_read(serving)
    near = await asyncio.to_thread(past.like, body.words(), body.top_k) if is_allowed else []
    earlier = [PastHit(**cleaned(one.record()), likeness=one.likeness) for one in near]
    seconds = time.perf_counter() - started
    return RagAnswer(results=results, past_analyses=earlier, query_time_ms=round(seconds * 1000, 2))


@router.post("/seed", dependencies=[OperatorOnly], responses=REFUSALS)
async def seed(index: IndexDep) -> RagState:
    """Put the shipped corpus into the index; doing it again changes nothing."""
    return RagState(status="seeded", documents=await asyncio.to_thread(index.seed))


@router.delete("/reset", dependencies=[OperatorOnly], responses=REFUSALS)
async def reset(index: IndexDep) -> RagState:
    """Empty the index; it stays empty, also over a restart, until it is seeded."""
    await asyncio.to_thread(index.reset)
    return RagState(status="reset", documents=len(index))
