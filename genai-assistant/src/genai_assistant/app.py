"""Application factory."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from contracts import request_ids, service_key, traces
from genai_assistant import mcp_server
from genai_assistant.analyst import Analyst
from genai_assistant.assistant import Assistant
from genai_assistant.budget import Budget
from genai_assistant.callers import CallerCredentials
from genai_assistant.health import HealthCheck
from genai_assistant.metrics import Metrics
from genai_assistant.model import OpenAIModel
from genai_assistant.pseudonyms import is_local
from genai_assistant.retrieval.analyses import PastAnalyses, follow_for_ever
from genai_assistant.retrieval.corpus import load_corpus
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.retrieval.sentence_model import SentenceModel
from genai_assistant.routes import operations, query, rag
from genai_assistant.serving_client import ServingClient, bounded_client
from genai_assistant.settings import Settings

logger = logging.getLogger(__name__)

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
        index, past = await asyncio.to_thread(_open_retrieval, settings)
        model = OpenAIModel(settings, metrics) if settings.has_model else None
        if model and not settings.has_price and not is_local(settings.openai_base_url):
            logger.warning("%s has no price in ASSISTANT_MODEL_PRICES: it counts as 0", model.name)
        async with (
            bounded_client(settings.serving_url, settings.serving_timeout_seconds) as http,
            bounded_client(
                settings.batch_url, settings.serving_timeout_seconds, service_key.headers()
            ) as batch_http,
        ):
            serving = ServingClient(http, metrics, settings.serving_key)
            batch = ServingClient(batch_http, metrics, sends_credentials=False)
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
                past=past,
                prompt_room=settings.prompt_evidence_chars,
                hidden_fields=(
                    settings.pseudonym_fields if settings.hides_personal_values else None
                ),
            )
            app.state.index, app.state.past, app.state.metrics = index, past, metrics
            app.state.assistant, app.state.serving = assistant, serving
            parts.assistant, parts.serving, parts.index = assistant, serving, index
            app.state.health = HealthCheck(serving, index, metrics, model)
            analyst = Analyst(assistant, serving, metrics, settings)
            works = [follow_for_ever(past, serving, settings.past_analyses_seconds)]
            if settings.analyst_enabled:
                works.append(analyst.run())
            tasks = [asyncio.create_task(work) for work in works]
            metrics.service_up.set(1)
            try:
                async with mcp_session:
                    yield
            finally:
                metrics.service_up.set(0)
                for task in tasks:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                if model:
                    await model.close()
                index.close()

    app = FastAPIOffline(  # the page at /docs needs no network
        redoc_url=None,
        title="StreamGuard assistant",
        version=version("streamguard-genai-assistant"),
        description=DESCRIPTION,
        lifespan=lifespan,
    )
    app.add_middleware(CallerCredentials)
    traces.install(app)
    request_ids.install(app)
    app.include_router(query.router)
    app.include_router(rag.router)
    app.include_router(operations.router)
    app.router.routes.extend(mcp_app.routes)
    return app


def _open_retrieval(settings: Settings) -> tuple[ThreatIndex, PastAnalyses]:
    """Open the threat corpus and the copy of past analyses, which share store and vectors."""
    corpus = load_corpus()
    folder = settings.sentence_model_dir
    sentences = SentenceModel(folder) if folder else None
    index = ThreatIndex(settings.data_dir, corpus, sentences)
    return index, PastAnalyses(index.client, index.embedder, corpus)
