"""Application factory of the control API."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi_offline import FastAPIOffline

from batch_layer import control, error_bodies
from batch_layer.schedule import routes as schedule_routes
from batch_layer.security import backtest_routes
from batch_layer.security import routes as security_routes
from batch_layer.security.backtests import Backtests
from batch_layer.services import Services, SessionFactory
from batch_layer.spark import spark_session
from batch_layer.transactions import routes as transaction_routes
from contracts import request_ids, service_key, traces

if TYPE_CHECKING:
    from batch_layer.settings import Settings


def create_app(
    settings: "Settings",
    session_factory: SessionFactory = spark_session,
    request_stop: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Build the control API; Spark starts with it and stops with it.

    Args:
        settings: How the service is configured.
        session_factory: Opens the Spark session; tests lend theirs.
        request_stop: Ends the server that runs this application; ``POST /stop`` calls it.
    """
    services = Services(settings, session_factory)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.start()
        yield
        await run_in_threadpool(services.stop)

    app = FastAPIOffline(  # the page at /docs needs no network
        redoc_url=None,
        title="StreamGuard batch layer",
        version=version("streamguard-batch-layer"),
        lifespan=lifespan,
    )
    app.state.services = services
    app.state.backtests = Backtests(settings.lake_dir)
    app.state.request_stop = request_stop
    error_bodies.install(app)
    service_key.install(app)
    traces.install(app)
    request_ids.install(app)
    app.include_router(control.router)
    app.include_router(security_routes.router)
    app.include_router(security_routes.short_router)
    app.include_router(backtest_routes.router)
    app.include_router(schedule_routes.router)
    app.include_router(transaction_routes.router)
    return app
