"""Where the speed layer's CPU time goes: thread time of each stage, taken around its functions.

``install`` replaces functions in the process it is called in: for a process that does nothing else.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, ParamSpec, TypeVar

from confluent_kafka import Consumer

from detection import Engine, kernel
from detection.correlating import Correlator
from detection.findings import Reader
from detection.interning import Interner
from speed_layer import consumer, partition
from speed_layer.consumer import SpeedLayer
from speed_layer.housekeeping import Housekeeping
from speed_layer.metrics import Metrics
from speed_layer.publisher import Publisher
from speed_layer.status import Status
from speed_layer.store import Store

P = ParamSpec("P")
R = TypeVar("R")

THREADS = "client's threads: fetch, check, decompress"
CONSUME = "client's records as Python objects"
ENGINE = "detection, the rest"
OTHER = "loop, collection of garbage, the rest"

_PARTS: tuple[tuple[Any, str, str], ...] = (
    (consumer, "sort_messages", "records by partition"),
    (consumer, "records_of", "records by partition"),
    (partition, "decode", "JSON to columns"),
    (kernel, "mark_duplicates", "detection: duplicates"),
    (Interner, "codes", "detection: texts to numbers"),
    (kernel, "process", "detection: scores and state"),
    (Reader, "reasons", "detection: sentences"),
    (Correlator, "process", "detection: rules"),
    (Engine, "process", ENGINE),
    (partition, "build", "segment: columns"),
    (partition, "encode", "segment: compression"),
    (Store, "write", "store: transaction"),
    (Metrics, "count", "metrics, outbox, status"),
    (Publisher, "pump", "metrics, outbox, status"),
    (Status, "publish", "metrics, outbox, status"),
    (Housekeeping, "tick", "metrics, outbox, status"),
)


class Stages:
    """Thread time by stage; a stage inside another counts for itself only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = 0.0

    def install(self) -> None:
        """Take times from now on."""
        for owner, name, stage in _PARTS:
            setattr(owner, name, self.timed(getattr(owner, name), stage))

    def watch(self, layer: SpeedLayer) -> None:
        """Take the time of the client's calls too."""
        layer._consumer = _TimedConsumer(layer._consumer, self)  # type: ignore[assignment]  # noqa: SLF001

    def clear(self) -> None:
        """Forget what was taken so far."""
        self.seconds.clear()

    def timed(self, function: Callable[P, R], stage: str) -> Callable[P, R]:
        """Return ``function`` with its time taken; a generator runs to its end at once."""
        whole = isgeneratorfunction(function)

        @wraps(function)
        def timed(*arguments: P.args, **named: P.kwargs) -> R:
            outer, self._inner = self._inner, 0.0
            begin = time.thread_time()
            try:
                found = function(*arguments, **named)
                return iter(list(found)) if whole else found  # type: ignore[call-overload, no-any-return]
            finally:
                spent = time.thread_time() - begin
                self.seconds[stage] += spent - self._inner
                self._inner = outer + spent

        return timed

    def shares(self, thread_seconds: float, cpu_seconds: float) -> Iterator[tuple[str, float]]:
        """Yield stages and their seconds, given what the loop's thread and the process spent."""
        yield THREADS, cpu_seconds - thread_seconds
        for stage in dict.fromkeys((CONSUME, *(stage for _, _, stage in _PARTS))):
            yield stage, self.seconds.get(stage, 0.0)
        yield OTHER, thread_seconds - sum(self.seconds.values())


class _TimedConsumer:
    """A consumer whose ``consume`` counts as a stage."""

    def __init__(self, wrapped: Consumer, stages: Stages) -> None:
        self._wrapped = wrapped
        self.consume = stages.timed(wrapped.consume, CONSUME)

    def __getattr__(self, name: str) -> object:
        return getattr(self._wrapped, name)
