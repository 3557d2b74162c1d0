"""``python -m serving_layer``: REST, metrics and dashboard in one process; keys by command."""

import argparse
import asyncio
import gc
import logging
import sys

import uvicorn

from contracts import log_lines, traces
from serving_layer import dashboard
from serving_layer.app import create_app
from serving_layer.errors import WebhookFileError
from serving_layer.front_door import commands
from serving_layer.front_door.connections import ImpatientProtocol
from serving_layer.settings import Settings

logger = logging.getLogger("serving_layer")


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped, or do what the command says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m serving_layer", description=__doc__)
    parser.set_defaults(run=serve)
    commands.add_parser(parser.add_subparsers(metavar="COMMAND"))
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


def serve(_: argparse.Namespace) -> int:
    """Serve until stopped and return the exit status."""
    log_lines.configure("serving-layer")
    traces.configure("serving-layer")
    settings = Settings()
    try:
        app = create_app(settings)
    except WebhookFileError as error:
        sys.stderr.write(f"serving-layer: {error.detail}\n")
        return 2
    if settings.needs_keys:
        logger.info("keys are asked for; make one: python -m serving_layer keys create NAME")
    dashboard.mount(app)
    servers = [_server(app, settings.host, settings.port, lifespan="on")]
    if settings.dashboard_port not in (0, settings.port):
        servers.append(_server(app, settings.host, settings.dashboard_port, lifespan="off"))
    # What was imported stays: the collector need not walk it again, which takes 100 ms and more.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=servers[0].config.get_loop_factory()) as runner:
        runner.run(_serve(servers))
    return 0


def _server(app: object, host: str, port: int, lifespan: str) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]  # uvicorn's own ASGI types
            host=host,
            port=port,
            lifespan=lifespan,  # type: ignore[arg-type]  # a literal, chosen above
            log_config=None,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=5,
            http=ImpatientProtocol,
            server_header=False,
        )
    )


async def _serve(servers: list[uvicorn.Server]) -> None:
    """Run all servers until one ends, then stop the others."""
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    sys.exit(main())
