"""The loop: batches from a stream, at a rate, to a sink."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from event_generator.batches import Batch, EventStream
from event_generator.errors import OutputError
from event_generator.pacing import Pacer
from event_generator.sinks import Delivery, Say, Sink
from event_generator.stopping import StopSignal

PROGRESS_EVERY_SECONDS = 10.0
LATENESS_SECONDS = 1.0
"""How long after the end of ``--duration`` events that were due by then may still be sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run ends by itself.

    Attributes:
        count: After so many events; None for no such limit.
        duration_seconds: After so much time; None for no such limit.
    """

    count: int | None
    duration_seconds: float | None

    @classmethod
    def of(cls, count: int | None, duration_seconds: float | None, rate: float) -> "Limits":
        """Turn a duration at a rate into a count, so that runs of one length are equal."""
        if duration_seconds is None or rate == 0:
            return cls(count, duration_seconds)
        due = max(1, round(duration_seconds * rate))
        return cls(due if count is None else min(count, due), duration_seconds + LATENESS_SECONDS)


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run did, and how long it took until everything was delivered."""

    events: int
    labelled: int
    seconds: float
    delivery: Delivery


class Labels:
    """Ground truth as newline-delimited JSON in a file of its own; without a path, nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None
        self.written = 0

    def open(self) -> None:
        """Create the file, or empty it.

        Raises:
            OutputError: If that is not possible.
        """
        if self._path is None:
            return
        try:
            self._file = self._path.open("w", encoding="ascii")
        except OSError as error:
            raise OutputError(f"--labels {self._path}: {error.strerror}") from error

    def write(self, batch: Batch, first: int, end: int) -> None:
        """Write the labels of the events at positions ``[first, end)`` of ``batch``.

        Raises:
            OutputError: If the file cannot take them.
        """
        lines = [f"{line}\n" for position, line in batch.labels if first <= position < end]
        self.written += len(lines)
        if self._file is None or not lines:
            return
        try:
            self._file.writelines(lines)
            self._file.flush()
        except OSError as error:
            raise OutputError(f"--labels {self._path}: {error.strerror}") from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def run(
    stream: EventStream,
    sink: Sink,
    labels: Labels,
    pacer: Pacer,
    limits: Limits,
    stop: StopSignal,
    say: Say,
) -> Totals:
    """Send events until a limit is reached or the operator stops; ``sink`` must be open.

    Labels of events are written before the events are handed over, and only of those that are.
    """

    def is_over() -> bool:
        limit = limits.duration_seconds
        return stop.is_requested or (limit is not None and pacer.elapsed() >= limit)

    progress, started = _progress(say), time.monotonic()
    sent = index = 0
    while not is_over() and (limits.count is None or sent < limits.count):
        batch = stream.batch(index)
        index += 1
        left = len(batch) if limits.count is None else min(len(batch), limits.count - sent)
        position = 0
        while position < left and not is_over():
            released = pacer.due(left - position, is_over)
            end = position + released
            if released:
                labels.write(batch, position, end)
                sink.send(batch.keys[position:end], batch.values[position:end])
            position = end
            progress(sent + position)
        sent += position
    delivery = sink.close()
    return Totals(sent, labels.written, time.monotonic() - started, delivery)


def _progress(say: Say) -> Callable[[int], None]:
    """Return what reports the number of events and their rate now and then."""
    said_at, events_then = time.monotonic(), 0

    def report(events: int) -> None:
        nonlocal said_at, events_then
        passed = time.monotonic() - said_at
        if passed < PROGRESS_EVERY_SECONDS:
            return
        say(f"{events:,} events sent, {(events - events_then) / passed:,.0f}/s")
        said_at, events_then = time.monotonic(), events

    return report


def say_on_stderr(text: str) -> None:
    """Tell the operator one line; standard output is kept for events and results."""
    sys.stderr.write(f"event-generator: {text}\n")
    sys.stderr.flush()
