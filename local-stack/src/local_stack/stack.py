"""Start, stop and watch a whole stack; the functions behind ``make up`` and its siblings."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from local_stack.errors import ServiceError, StackError
from local_stack.layout import Layout
from local_stack.processes import ProcessId, stop_all, wait_until_gone
from local_stack.services import Service, check_ports
from local_stack.state import ServiceRecord, ServiceState, StackState, read_state
from local_stack.supervisor import request

_POLL_SECONDS = 0.2
_SUPERVISOR_START_SECONDS = 60
_EXITS_BEFORE_GIVING_UP = 3
_LAST_LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack: its files, its services, and how its supervisor is started."""

    layout: Layout
    services: Sequence[Service]
    supervisor_command: list[str]
    env: Mapping[str, str]
    host: str = "127.0.0.1"
    ready_timeout_seconds: float = 180
    stop_timeout_seconds: float = 20

    def state(self) -> StackState | None:
        """Return what the supervisor last wrote; None when the stack is down."""
        return read_state(self.layout.state_file)

    def is_running(self) -> bool:
        """Say whether a supervisor looks after this stack."""
        state = self.state()
        return state is not None and state.supervisor.is_alive()

    def up(self, console: Console, once_first_is_ready: Callable[[], None]) -> None:
        """Start everything and return when every service is ready.

        The first service (the broker) starts alone; the others follow when it is ready and
        ``once_first_is_ready`` has returned.

        Raises:
            PortTakenError: a port is taken; nothing was started.
            ServiceError: a service did not become ready; names it and shows its last log lines.
        """
        if self.is_running():
            console.print("the stack is running already")
        else:
            self.stop_orphans(console)
            check_ports(self.host, self.services)
            self._start_supervisor()
        first, *others = self.services
        self._start_unless_running(first)
        self.wait_until_ready([first], console)
        once_first_is_ready()
        for service in others:
            self._start_unless_running(service)
        self.wait_until_ready(others, console)

    def down(self) -> bool:
        """Stop everything, whatever is left of it; False when nothing was running."""
        state = self.state()
        if state is None:
            return False
        supervisor = state.supervisor
        was_running = supervisor.is_alive() or any(p.is_alive() for p in state.processes())
        # The supervisor stops its services in two waves, each within the time-out.
        stop_all([supervisor], 2 * self.stop_timeout_seconds + 10)
        self._stop_recorded(self.state() or state)
        self.layout.state_file.unlink(missing_ok=True)
        return was_running

    def stop_orphans(self, console: Console) -> None:
        """Stop services whose supervisor has died without them (kill -9)."""
        state = self.state()
        if state is None:
            return
        alive = [process for process in state.processes() if process.group()]
        if alive:
            console.print(f"stopping {len(alive)} services left without a supervisor")
            self._stop_recorded(state)
        self.layout.state_file.unlink(missing_ok=True)

    def wait_until_ready(self, services: Sequence[Service], console: Console) -> None:
        """Return when each service says it is ready, in whatever order they become so.

        Raises:
            ServiceError: one did not in time, or keeps exiting.
        """
        started = time.monotonic()
        exits_before = {service.name: self._exits(service.name) for service in services}
        waiting = {service.name: service for service in services}
        while waiting:
            for name, service in list(waiting.items()):
                fault = service.is_ready()
                elapsed = time.monotonic() - started
                if fault is None and self._is_up(name):
                    console.print(f"{name} is ready ({elapsed:.1f} s)", highlight=False)
                    del waiting[name]
                elif self.record(name).state is ServiceState.STOPPED:
                    raise ServiceError(self._obituary(name, "has stopped", fault))
                elif self._exits(name) - exits_before[name] >= _EXITS_BEFORE_GIVING_UP:
                    raise ServiceError(self._obituary(name, "keeps exiting", fault))
                elif elapsed > self.ready_timeout_seconds:
                    late = f"is not ready after {self.ready_timeout_seconds:.0f} s"
                    raise ServiceError(self._obituary(name, late, fault))
            if not self.is_running():
                raise ServiceError(
                    f"the supervisor exited; see {self.layout.log_file('supervisor')}"
                )
            time.sleep(_POLL_SECONDS)  # readiness is an HTTP answer: there is nothing to wait on

    def record(self, name: str) -> ServiceRecord:
        """Return the record of one service.

        Raises:
            ServiceError: the stack is down or has no such service.
        """
        state = self.state()
        if state is None:
            raise ServiceError("the stack is not running: `make up` starts it")
        record = state.service(name)
        if record is None:
            known = ", ".join(service.name for service in state.services)
            raise ServiceError(f"no service {name!r}; there are {known}")
        return record

    def ask(self, verb: str, name: str) -> None:
        """Have the supervisor start, stop or restart a service, and wait until it did.

        Raises:
            ServiceError: the stack is down, has no such service, or does not obey.
        """
        before = self.record(name)
        if not self.is_running():
            raise ServiceError("the stack has no supervisor: `make up` starts it")
        request(self.layout, verb, name)
        deadline = time.monotonic() + self.stop_timeout_seconds + 10
        while not _has_obeyed(verb, before, self.record(name)):
            if time.monotonic() > deadline:
                raise ServiceError(f"{name} is {self.record(name).state}, long after `{verb}`")
            time.sleep(_POLL_SECONDS)  # the supervisor answers by writing its state file

    def kill(self, name: str) -> ProcessId:
        """End a service at once (kill -9); the supervisor starts it again.

        Raises:
            ServiceError: it is not running.
        """
        process = self.record(name).process
        if process is None or not process.is_alive():
            raise ServiceError(f"{name} is not running")
        process.kill_group()
        return process

    def _start_supervisor(self) -> None:
        log_file = self.layout.log_file("supervisor")
        log_file.parent.mkdir(parents=True, exist_ok=True)
        self.layout.inbox_dir.mkdir(parents=True, exist_ok=True)
        # Not subprocess: its object wants to outlive the process, and this one outlives us.
        descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        pid = os.posix_spawn(
            self.supervisor_command[0],
            self.supervisor_command,
            dict(self.env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, descriptor, 1),
                (os.POSIX_SPAWN_DUP2, descriptor, 2),
            ],
            setsid=True,
        )
        os.close(descriptor)
        deadline = time.monotonic() + _SUPERVISOR_START_SECONDS
        while not self.is_running():
            has_exited = os.waitpid(pid, os.WNOHANG)[0] == pid
            if has_exited or time.monotonic() > deadline:
                raise StackError(f"the supervisor did not start\n{last_lines(log_file)}")
            time.sleep(_POLL_SECONDS)  # it answers by writing its state file

    def _start_unless_running(self, service: Service) -> None:
        if self.record(service.name).state in {ServiceState.WAITING, ServiceState.STOPPED}:
            self.ask("start", service.name)

    def _stop_recorded(self, state: StackState) -> None:
        first, *others = [record.process for record in state.services]
        for wave in (others, [first]):
            present = [process for process in wave if process is not None]
            stop_all(present, self.stop_timeout_seconds)
            wait_until_gone(present, self.stop_timeout_seconds)

    def _is_up(self, name: str) -> bool:
        state = self.state()
        record = state.service(name) if state else None
        return record is not None and record.state is ServiceState.RUNNING

    def _exits(self, name: str) -> int:
        state = self.state()
        record = state.service(name) if state else None
        return record.restarts if record else 0

    def _obituary(self, name: str, what: str, fault: str | None) -> str:
        log_file = self.layout.log_file(name)
        return (
            f"{name} {what} ({fault or 'it answers, but its process does not last'})\n"
            f"last lines of {log_file}:\n{last_lines(log_file)}"
        )


def _has_obeyed(verb: str, before: ServiceRecord, now: ServiceRecord) -> bool:
    if verb == "stop":
        return now.state is ServiceState.STOPPED
    if verb == "start" and now.state is ServiceState.RUNNING:
        return True
    # It may have ended again already; whether it lasts is another question.
    return now.since != before.since and now.state is not ServiceState.STOPPING


def last_lines(log_file: Path, lines: int = _LAST_LOG_LINES) -> str:
    """Return the end of a log."""
    try:
        text = log_file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"
