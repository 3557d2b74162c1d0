"""``POST /query`` and ``POST /query/stream``."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from genai_assistant.bodies import Answer, Query
from genai_assistant.dependencies import AssistantDep
from genai_assistant.stream import answer_events

router = APIRouter(tags=["query"])

_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "Events `understood`, `evidence`, `part`, and last `answer`: the body of `/query`."
        ),
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.post("/query")
async def ask(query: Query, assistant: AssistantDep) -> Answer:
    """Answer a question with evidence; 200 also when sources or the model fail."""
    return await assistant.answer(query)


@router.post("/query/stream", response_class=StreamingResponse, responses=_EVENTS)
async def ask_stream(query: Query, assistant: AssistantDep) -> StreamingResponse:
    """Answer a question as server-sent events; only checked text is sent."""
    return StreamingResponse(
        answer_events(assistant, query),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
