"""Application factory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from genai_assistant import mcp_server
from genai_assistant.analyst import Analyst
from genai_assistant.assistant import Assistant
from genai_assistant.budget import Budget
from genai_assistant.health import HealthCheck
from genai_assistant.metrics import Metrics
from genai_assistant.model import OpenAIModel
from genai_assistant.retrieval.corpus import load_corpus
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.routes import operations, query, rag
from genai_assistant.serving_client import ServingClient, bounded_client
from genai_assistant.settings import Settings

DESCRIPTION = "Answers questions about security events with evidence that is checked."


def create_app(settings: Settings) -> FastAPI:
    """Build the API; index, clients and the analyst live as long as the application."""
    parts = mcp_server.Parts()
    server = mcp_server.build(parts)
    mcp_app = mcp_server.application(server, settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        mcp_session = server.session_manager.run()
        metrics = Metrics()
        index = await asyncio.to_thread(ThreatIndex, settings.data_dir, load_corpus())
        model = OpenAIModel(settings, metrics) if settings.has_model else None
        async with (
            bounded_client(settings.serving_url, settings.serving_timeout_seconds) as http,
            bounded_client(settings.batch_url, settings.serving_timeout_seconds) as batch_http,
        ):
            serving = ServingClient(http, metrics)
            batch = ServingClient(batch_http, metrics)
            budget = app.state.budget = Budget(
                settings.data_dir / "spending.json",
                settings.model_daily_dollars,
                settings.model_daily_dollars_per_user,
            )
            assistant = Assistant(
                serving,
                index,
                metrics,
                model,
                batch=batch,
                budget=budget,
                prompt_room=settings.prompt_evidence_chars,
                hidden_fields=(
                    settings.pseudonym_fields if settings.hides_personal_values else None
                ),
            )
            app.state.index, app.state.metrics = index, metrics
            app.state.assistant = assistant
            parts.assistant, parts.serving, parts.index = assistant, serving, index
            app.state.health = HealthCheck(serving, index, metrics, model)
            analyst = Analyst(assistant, serving, metrics, settings)
            task = asyncio.create_task(analyst.run()) if settings.analyst_enabled else None
            metrics.service_up.set(1)
            try:
                async with mcp_session:
                    yield
            finally:
                metrics.service_up.set(0)
                if task:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                if model:
                    await model.close()
                index.close()

    app = FastAPI(title="StreamGuard assistant", description=DESCRIPTION, lifespan=lifespan)
    app.include_router(query.router)
    app.include_router(rag.router)
    app.include_router(operations.router)
    app.router.routes.extend(mcp_app.routes)
    return app
