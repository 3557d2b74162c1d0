"""What the supervisor knows about its services, on disk for every other command to read."""

import os
from enum import StrEnum
from pathlib import Path

import msgspec

from local_stack.processes import ProcessId


class ServiceState(StrEnum):
    """Where a service stands in its life."""

    WAITING = "waiting"
    """Not started yet: it waits for the broker and its topics."""
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "back-off"
    """It exited by itself and will be started again."""
    STOPPED = "stopped"


class ServiceRecord(msgspec.Struct, frozen=True):
    """One service as last seen by the supervisor; times are Unix seconds."""

    name: str
    state: ServiceState
    since: float
    process: ProcessId | None = None
    restarts: int = 0
    last_exit: int | None = None


class StackState(msgspec.Struct, frozen=True):
    """The supervisor and its services."""

    supervisor: ProcessId
    services: list[ServiceRecord]

    def service(self, name: str) -> ServiceRecord | None:
        """Return one service's record."""
        return next((record for record in self.services if record.name == name), None)

    def processes(self) -> list[ProcessId]:
        """Return every recorded service process, in the order of the Procfile."""
        return [record.process for record in self.services if record.process is not None]


def read_state(path: Path) -> StackState | None:
    """Return the last state written, or None if there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=StackState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_state(path: Path, state: StackState) -> None:
    """Replace the state in one step."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(state))
    draft.replace(path)
