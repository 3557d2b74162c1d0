import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from local_stack.layout import Layout
from local_stack.ports import free_port
from local_stack.services import Service, http_answers
from local_stack.stack import Stack

SERVER = """
import http.server, sys, threading
print("serving on", sys.argv[1], flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
SILENT = "import time; print('waiting for a tool that is not there', flush=True); time.sleep(600)"
CRASHING = "import sys; print('no such model', flush=True); sys.exit(3)"


class Dummies:
    """Builds stacks of tiny servers, and takes every one of them down at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stacks: list[Stack] = []

    def stack(self, *, third: str = SERVER, ready_timeout_seconds: float = 60) -> Stack:
        folder = self._folder / f"stack-{len(self._stacks)}"
        folder.mkdir()
        services, lines = [], []
        for name, script in (("first", SERVER), ("second", SERVER), ("third", third)):
            port = free_port()
            (folder / f"{name}.py").write_text(script)
            lines.append(f"{name}: python {folder / name}.py {port}\n")
            ready = http_answers(f"http://127.0.0.1:{port}/")
            services.append(Service(name, ready, {f"STACK_{name.upper()}_PORT": port}, port))
        procfile = folder / "Procfile"
        procfile.write_text("".join(lines))
        stack = Stack(
            layout=Layout(folder),
            services=services,
            supervisor_command=[
                sys.executable, "-m", "local_stack", "supervise", "--procfile", str(procfile)
            ],
            env={**os.environ, "STACK_DIR": str(folder), "STACK_STOP_TIMEOUT_SECONDS": "5"},
            ready_timeout_seconds=ready_timeout_seconds,
            stop_timeout_seconds=5,
        )  # fmt: skip
        self._stacks.append(stack)
        return stack

    def down(self) -> None:
        for stack in self._stacks:
            stack.down()


@pytest.fixture
def dummies(tmp_path: Path) -> Iterator[Dummies]:
    dummies = Dummies(tmp_path)
    yield dummies
    dummies.down()


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200)


@pytest.fixture
def up(console: Console) -> Callable[[Stack], None]:
    def start(stack: Stack) -> None:
        stack.up(console, lambda: None)

    return start
