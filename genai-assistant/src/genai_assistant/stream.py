"""An answer as it comes about: typed events that end in the same JSON as ``/query``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from pydantic import BaseModel

from genai_assistant.assistant import Assistant
from genai_assistant.bodies import Answer, Query


def frame(name: str, body: BaseModel) -> bytes:
    """Return one server-sent event; JSON holds no line break, so one data line is enough."""
    return f"event: {name}\ndata: {body.model_dump_json()}\n\n".encode()


async def answer_events(assistant: Assistant, query: Query) -> AsyncIterator[bytes]:
    """Yield ``understood``, ``evidence`` for each record, ``part`` for each part, ``answer``.

    A client that leaves ends the work for it.
    """
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    def tell(name: str, body: BaseModel) -> None:
        queue.put_nowait(frame(name, body))

    async def work() -> Answer:
        return await assistant.answer(query, tell)

    task = asyncio.create_task(work())
    try:
        while not (task.done() and queue.empty()):
            taken = asyncio.ensure_future(queue.get())
            await asyncio.wait({taken, task}, return_when=asyncio.FIRST_COMPLETED)
            if taken.done():
                yield taken.result()
            else:
                taken.cancel()
        yield frame("answer", task.result())
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
