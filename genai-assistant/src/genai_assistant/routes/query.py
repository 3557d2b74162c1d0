"""``POST /query``."""

from fastapi import APIRouter

from genai_assistant.bodies import Answer, Query
from genai_assistant.dependencies import AssistantDep

router = APIRouter(tags=["query"])


@router.post("/query")
async def ask(query: Query, assistant: AssistantDep) -> Answer:
    """Answer a question with evidence; 200 also when sources or the model fail."""
    return await assistant.answer(query)
