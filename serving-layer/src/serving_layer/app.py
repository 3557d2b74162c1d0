"""Application factory."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import httpx
from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts import request_ids, traces
from serving_layer import problems
from serving_layer.alert_stream import AlertBell
from serving_layer.analyses import AnalysisStore
from serving_layer.backtests.jobs import Backtests
from serving_layer.cases.delivery import Delivery
from serving_layer.cases.outbox import Outbox
from serving_layer.cases.store import CaseStore
from serving_layer.cases.webhooks import Webhook, read_webhooks
from serving_layer.changed_minds import ChangedMinds
from serving_layer.cursors import CursorSigner, signing_key
from serving_layer.earlier_runs import EarlierRuns
from serving_layer.exports import Exports
from serving_layer.front_door import openapi, sign_in
from serving_layer.front_door.audit import AuditLog
from serving_layer.front_door.guard import Guard
from serving_layer.front_door.keys import KeyStore
from serving_layer.front_door.validators import Validators
from serving_layer.metrics import Metrics
from serving_layer.parameters import reject_unknown
from serving_layer.routes import (
    alerts,
    analyses,
    anomalies,
    audit,
    backtests,
    cases,
    events,
    operations,
    sql,
    suppressions,
    training_data,
    users,
    webhooks,
)
from serving_layer.run_watcher import RunWatcher
from serving_layer.seams import SeamHistory
from serving_layer.services import Services
from serving_layer.settings import Settings
from serving_layer.sql.runner import SqlRunner
from serving_layer.status import collector
from serving_layer.tail import Tail
from serving_layer.views.snapshot import Views

_DESCRIPTION = """
One exact answer from two views: the batch view below the seam, the realtime view from it on.

Lists are newest first and page by `cursor`. Times are event times, as Unix ms or ISO-8601.
`complete` is false, and `incomplete_reason` says why, while a part of the data cannot be reached.
"""

_ROUTES = (
    events,
    anomalies,
    alerts,
    cases,
    suppressions,
    webhooks,
    users,
    analyses,
    training_data,
    operations,
    audit,
    sql,
    backtests,
)


def create_app(settings: Settings) -> FastAPI:
    """Build the API; views are loaded and tailed while its lifespan runs.

    Raises:
        WebhookFileError: If there is a webhooks file that cannot be used.
    """
    targets = read_webhooks(settings.webhooks_file) if settings.webhooks_file else []
    app = FastAPIOffline(  # the page at /docs needs no network
        redoc_url=None,
        title="StreamGuard serving layer",
        version=version("streamguard-serving-layer"),
        description=_DESCRIPTION,
        lifespan=lambda app: _lifespan(app, settings, targets),
    )
    problems.install(app)
    for module in _ROUTES:
        app.include_router(module.router, dependencies=[Depends(reject_unknown)])
    app.include_router(sign_in.router)
    metrics = Metrics()
    app.state.metrics = metrics
    app.add_middleware(Exports)
    app.add_middleware(Validators)
    app.add_middleware(RequestDurations, metrics=metrics)
    if settings.cors_allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_allowed,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type"],
        )
    app.add_middleware(Guard, settings=settings)
    openapi.install(app)
    traces.install(app)
    request_ids.install(app)
    return app


@asynccontextmanager
async def _lifespan(
    app: FastAPI, settings: Settings, targets: list[Webhook]
) -> AsyncIterator[None]:
    metrics: Metrics = app.state.metrics
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    views = Views()
    bell = AlertBell(views)
    watcher = RunWatcher(
        settings.lake_dir, settings.data_dir, settings.run_check_interval, views, metrics
    )
    # No pool limit: every partition holds one long poll open.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    hooks = {"request": [request_ids.forward, traces.forward]}
    async with httpx.AsyncClient(limits=limits, trust_env=False, event_hooks=hooks) as http:
        tail = Tail(settings, views, http, metrics, watcher.look_now)
        cases = CaseStore(settings.data_dir)
        delivery = Delivery(
            targets,
            Outbox(settings.data_dir),
            cases,
            metrics,
            http,
            attempts=settings.webhook_attempts,
            first_pause_seconds=settings.webhook_first_pause.total_seconds(),
        )
        services = Services(
            settings=settings,
            views=views,
            watcher=watcher,
            earlier=EarlierRuns(settings.lake_dir, settings.data_dir, views),
            tail=tail,
            seams=SeamHistory(views, tail),
            changed_minds=ChangedMinds(views),
            analyses=AnalysisStore(settings.data_dir),
            cases=cases,
            delivery=delivery,
            cursors=CursorSigner(signing_key(settings.data_dir)),
            keys=KeyStore(settings.data_dir),
            audit=AuditLog(settings.data_dir),
            sql=SqlRunner(settings, watcher),
            backtests=Backtests(settings, views, cases, http),
            metrics=metrics,
            bell=bell,
            http=http,
        )
        app.state.services = services
        metrics.observe(collector(services))
        tasks = [
            asyncio.create_task(watcher.run()),
            asyncio.create_task(tail.run()),
            asyncio.create_task(delivery.run(views, bell)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            await services.backtests.close()
            services.keys.close()
            services.audit.close()
            services.analyses.close()
            cases.close()
            delivery.outbox.close()


class RequestDurations:
    """Measures every request by its route template, which keeps the labels bounded."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                template = getattr(scope.get("route"), "path", "unmatched")
                self._metrics.requests.labels(scope["method"], template, str(status)).observe(
                    time.perf_counter() - started
                )
            await send(message)

        await self._app(scope, receive, watched)
