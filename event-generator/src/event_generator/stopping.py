"""Stop on SIGINT or SIGTERM without losing what was already handed over."""

import signal
from types import FrameType, TracebackType
from typing import Self


class StopSignal:
    """Counts stop signals while it is entered: the first asks, the second insists."""

    def __init__(self) -> None:
        self._received = 0
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    @property
    def is_requested(self) -> bool:
        """Whether the run should end and hand over what it has."""
        return self._received > 0

    @property
    def is_forced(self) -> bool:
        """Whether it should end even if something is not delivered yet."""
        return self._received > 1

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._received += 1
