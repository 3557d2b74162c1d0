"""Which event times a run covers, and when it ends."""

import argparse
import time
from dataclasses import dataclass

from contracts.events import MAX_TIMESTAMP_MS
from event_generator.clock import DAY_MS, EventClock
from event_generator.errors import ConfigurationError
from event_generator.running import Limits


@dataclass(frozen=True, slots=True)
class Plan:
    """Event time and limits of one run.

    Attributes:
        clock: Event time of the n-th event.
        limits: When the run ends by itself.
        span_ms: Event time the run covers; None when it has no end.
    """

    clock: EventClock
    limits: Limits
    span_ms: float | None

    @property
    def spans_days(self) -> bool:
        """Whether the run covers enough time for daily habits to show."""
        return self.span_ms is None or self.span_ms >= DAY_MS


def plan(options: argparse.Namespace, rate: float) -> Plan:
    """Fix the event times of a run that starts now.

    Raises:
        ConfigurationError: If flags contradict each other or the run would end later than event
            times may be; the message names the flags.
    """
    _check(options)
    limits = Limits.of(options.count, options.duration, rate)
    span_seconds = options.clock_span
    start_ms = options.start_time
    if start_ms is None:
        start_ms = time.time_ns() // 1_000_000 - round((span_seconds or 0) * 1000)
    if span_seconds is not None:
        clock = EventClock.over_span(start_ms, span_seconds, options.count)
    else:
        clock = EventClock.at_rate(start_ms, rate)
    span_ms = None if limits.count is None else clock.step_ms * (options.count or limits.count)
    if span_ms is not None and start_ms + span_ms > MAX_TIMESTAMP_MS:
        raise ConfigurationError(
            "--start-time: the run would end later than event times may be"
            f" ({MAX_TIMESTAMP_MS} ms); start earlier, or see --clock-span"
        )
    return Plan(clock, limits, span_ms)


def _check(options: argparse.Namespace) -> None:
    if options.clock_span is not None and options.count is None:
        raise ConfigurationError("--clock-span needs --count: how many events share the time?")
    if options.labels is not None and str(options.labels) == options.output:
        raise ConfigurationError("--labels and --output name the same file")
