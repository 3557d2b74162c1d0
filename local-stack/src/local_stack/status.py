"""``make status`` and ``make logs``: look at a stack without touching it."""

import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local_stack.services import Service
from local_stack.stack import Stack
from local_stack.state import ServiceRecord, ServiceState

_MEBIBYTE = 1024 * 1024
_FOLLOW_SECONDS = 0.5


def status_table(stack: Stack) -> Table:
    """Return a table of services: state, process, port, since when, memory, restarts."""
    state = stack.state()
    is_supervised = stack.is_running()
    table = Table()
    for title in ("service", "state", "pid", "port", "since", "memory", "restarts"):
        table.add_column(title, no_wrap=True)
    for service in stack.services:
        record = state.service(service.name) if state else None
        if record is None:
            table.add_row(service.name, "down", "-", str(service.port or "-"), "-", "-", "-")
        else:
            table.add_row(*_cells(service, record, is_supervised))
    return table


def total_memory_bytes(stack: Stack) -> int:
    """Return the resident memory of all services together."""
    state = stack.state()
    return sum(process.memory_bytes() for process in state.processes()) if state else 0


def _cells(service: Service, record: ServiceRecord, is_supervised: bool) -> Sequence[str]:
    memory = record.process.memory_bytes() if record.process else 0
    return (
        service.name,
        _state_text(service, record, is_supervised),
        str(record.process.pid) if record.process else "-",
        str(service.port or "-"),
        _moment(record.since),
        f"{memory / _MEBIBYTE:.0f} MiB" if memory else "-",
        str(record.restarts),
    )


def _moment(unix_seconds: float) -> str:
    """Return a local time, with its day when that is not today."""
    moment = datetime.fromtimestamp(unix_seconds, UTC).astimezone()
    is_today = moment.date() == datetime.now(UTC).astimezone().date()
    return moment.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")


def _state_text(service: Service, record: ServiceRecord, is_supervised: bool) -> str:
    if record.process is not None and not record.process.is_alive():
        return "dead" if not is_supervised else "restarting"
    if record.state is ServiceState.RUNNING:
        text = "ready" if service.is_ready() is None else "not ready"
        return text if is_supervised else f"{text}, no supervisor"
    if record.state is ServiceState.BACKOFF:
        return f"back-off (exit {record.last_exit})"
    return str(record.state)


def print_logs(
    stack: Stack, names: Sequence[str], lines: int, follow: bool, console: Console
) -> None:
    """Print the end of some logs, each line with its service; with ``follow``, what comes."""
    width = max(len(name) for name in names)
    positions: dict[str, int] = {}
    for name in names:
        log_file = stack.layout.log_file(name)
        tail, positions[name] = _tail(log_file, lines)
        for line in tail:
            _print_line(console, f"{name:<{width}} | {line}")
    while follow:
        for name in names:
            fresh, positions[name] = _read_from(stack.layout.log_file(name), positions[name])
            for line in fresh:
                _print_line(console, f"{name:<{width}} | {line}")
        time.sleep(_FOLLOW_SECONDS)  # files grow without telling anyone


def _print_line(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _tail(log_file: Path, lines: int) -> tuple[Sequence[str], int]:
    if not log_file.exists():
        return ["(no log yet)"], 0
    with log_file.open("rb") as file:
        last = deque(file, maxlen=lines)
        return [line.decode(errors="replace").rstrip("\n") for line in last], file.tell()


def _read_from(log_file: Path, position: int) -> tuple[Sequence[str], int]:
    if not log_file.exists():
        return [], 0
    if log_file.stat().st_size < position:
        position = 0  # rotated
    with log_file.open("rb") as file:
        file.seek(position)
        text = file.read()
    return text.decode(errors="replace").splitlines(), position + len(text)
