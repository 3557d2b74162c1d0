"""A whole system under load, for ``chaos.py`` and ``soak.py``: stack, producer, and a client.

``System`` is a local stack on free ports with folders of its own. ``Load`` produces distinct
events at a rate from a process of its own, and knows how many the broker has acknowledged.
``Client`` asks the services again and again, as a user would, and writes down what it saw.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
from confluent_kafka import KafkaError, Message, Producer
from rich.console import Console

from contracts.topics import SECURITY_EVENTS
from event_generator.clock import EventClock
from event_generator.security.stream import BATCH_SIZE, SecurityScenario, SecurityStream
from local_stack.environment import service_environment
from local_stack.java import find_java
from local_stack.layout import Layout, repository_root
from local_stack.ports import free_port
from local_stack.services import services_of
from local_stack.settings import Settings
from local_stack.stack import Stack
from local_stack.topics import create_topics

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

POOL = 20_000
_NOW = "1700000000000"
_SLICE_SECONDS = 0.005
_DELIVERY_SECONDS = 600
PORTS = tuple(
    f"{name}_port"
    for name in ("kafka", "kafka_controller", "speed", "batch", "serving", "dashboard", "assistant")
)


def _distinct_ports(count: int) -> set[int]:
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return found


class System:
    """A local stack below a folder; down when the ``with`` block ends.

    Args:
        folder: Where it keeps everything.
        extra: Environment of the services beside what the stack derives, and before it.
    """

    def __init__(self, folder: Path, extra: Mapping[str, str] | None = None) -> None:
        root = repository_root()
        values = dict(zip(PORTS, _distinct_ports(len(PORTS)), strict=True))
        self.settings = Settings.model_validate(
            {"dir": folder, "tools_dir": root / ".tools", "stop_timeout_seconds": 70, **values}
        )
        self.console = Console(file=sys.stderr, soft_wrap=True)
        self._extra = dict(extra or {})
        self.stack = self._stack()
        self._http = httpx.Client(timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.down()
        self._http.close()

    def _stack(self) -> Stack:
        settings = self.settings
        derived = service_environment(settings, find_java(settings.tools_dir), Path(os.devnull))
        return Stack(
            layout=Layout(settings.dir),
            services=services_of(settings),
            supervisor_command=[sys.executable, "-m", "local_stack", "supervise"],
            env=derived | self._extra,
            ready_timeout_seconds=settings.ready_timeout_seconds,
            stop_timeout_seconds=settings.stop_timeout_seconds,
        )

    def up(self) -> None:
        """Start every service, create the topics, and return when all are ready."""
        servers = self.settings.bootstrap_servers
        self.stack.up(self.console, lambda: create_topics(servers, self.console))

    def change(self, **extra: str) -> None:
        """Set variables for services that are started from the next ``up`` on."""
        self._extra |= extra
        self.stack = self._stack()

    def url(self, service: str) -> str:
        """Return the base URL of ``speed``, ``batch``, ``serving`` or ``assistant``."""
        return f"http://{self.settings.host}:{getattr(self.settings, f'{service}_port')}"

    def get(self, service: str, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return the body of an answer.

        Raises:
            httpx.HTTPError: There was none, or not with 200.
        """
        return self._http.get(self.url(service) + path).raise_for_status().json()

    def post(self, service: str, path: str, body: Mapping[str, object]) -> httpx.Response:
        """Return the answer to a request, whatever its status."""
        return self._http.post(self.url(service) + path, json=body)

    def total(self) -> int:
        """Return how many distinct events the merged view holds; -1 while it cannot tell."""
        try:
            return int(self.get("serving", "/api/stats/summary")["totalEvents"])
        except httpx.HTTPError:
            return -1

    def wrong(self) -> tuple[int, int]:
        """Return how many events are missing from the merged view, and in it twice."""
        answer = self.get("serving", "/consistency")
        return answer["missing"], answer["double"]

    def unready(self) -> list[str]:
        """Return the services that do not say they are ready."""
        return [service.name for service in self.stack.services if service.is_ready()]

    def signal(self, service: str, number: signal.Signals) -> None:
        """Send a signal to every process of a service."""
        process = self.stack.record(service).process
        for member in process.group() if process else ():
            with suppress(ProcessLookupError):
                os.kill(member.pid, number)

    def security_run(self) -> str | None:
        """Start a security run; returns its id, None while another one runs."""
        answer = self.post("batch", "/security/run", {})
        if answer.status_code == httpx.codes.CONFLICT:
            return None
        return str(answer.raise_for_status().json()["runId"])


class Load:
    """Produces distinct events, each for a user of the generator, until the ``with`` block ends.

    Args:
        servers: The broker.
        rate: Events per second; may be changed at any time.
    """

    def __init__(self, servers: str, rate: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.rate: Synchronized[int] = context.Value(ctypes.c_int64, rate)
        self._produced: Synchronized[int] = context.Value(ctypes.c_int64, 0)
        self._acknowledged: Synchronized[int] = context.Value(ctypes.c_int64, 0)
        self._stop = context.Event()
        counters = (self.rate, self._produced, self._acknowledged, self._stop)
        self._process = context.Process(target=_produce, args=(servers, *counters))

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Produce no more, and return when the broker has everything."""
        self._stop.set()
        self._process.join()

    @property
    def produced(self) -> int:
        """Events produced so far."""
        return self._produced.value

    @property
    def acknowledged(self) -> int:
        """Events that the broker has acknowledged."""
        return self._acknowledged.value

    @property
    def has_died(self) -> bool:
        """Whether the producer has ended by an error, so that there is no load any more."""
        return bool(self._process.exitcode)


def _produce(
    servers: str,
    rate: "Synchronized[int]",
    produced: "Synchronized[int]",
    acknowledged: "Synchronized[int]",
    stop: Any,  # noqa: ANN401 - an event of multiprocessing
) -> None:
    """Keep the rate; idempotent, so that a broker that comes back has each event once."""

    def note(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            raise RuntimeError(f"an event was not delivered: {error}")
        acknowledged.value += 1

    producer = Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 2_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
            "message.timeout.ms": 1000 * _DELIVERY_SECONDS,
            "on_delivery": note,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )
    pool = list(_pool())
    count, before, due = 0, time.monotonic(), 0.0
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when
    while not stop.wait(_SLICE_SECONDS):
        now = time.monotonic()
        due, before = due + (now - before) * rate.value, now
        stamp = str(time.time_ns() // 1_000_000)
        for number in range(count, int(due)):
            user, value = pool[number % POOL]
            producer.produce(SECURITY_EVENTS, value % (f"evt_{number:012x}", stamp), user)
            if number % 5_000 == 0:
                producer.poll(0)
        count = max(count, int(due))
        produced.value = count
        producer.poll(0)
    producer.flush(_DELIVERY_SECONDS)


def _pool() -> Iterator[tuple[str, str]]:
    """Yield users and events in which id and time are left to fill in."""
    stream = SecurityStream(SecurityScenario(1, EventClock.at_rate(int(_NOW), 1_000), users=1_000))
    for batch in range(POOL // BATCH_SIZE):
        for value in stream.batch(batch).values:
            event = json.loads(value.replace("%", "%%"))
            text = json.dumps(event | {"event_id": "%s", "timestamp": _NOW})
            yield event["user"], text.replace(f'"{_NOW}"', "%s")


@dataclass
class Seen:
    """What a client saw of one service in some stretch of time.

    Attributes:
        asked: Requests made.
        failed: Requests without an answer of 200 within the client's time-out.
        longest_silence: Longest stretch without a good answer, seconds.
        stalest: Greatest age of the newest event in an answer, seconds.
    """

    asked: int = 0
    failed: int = 0
    longest_silence: float = 0.0
    stalest: float = 0.0
    answered_at: float = field(default_factory=time.monotonic)


class Client:
    """Asks each service for what its users ask for, in a thread each, until closed."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}
        asks: dict[str, tuple[Callable[[httpx.Client], float], float]] = {
            "serving": (self._newest_event, 0.2),
            "batch": (self._runs, 1.0),
            "assistant": (self._question, 3.0),
        }
        self._threads = [
            threading.Thread(target=self._ask, args=(name, ask, every), daemon=True)
            for name, (ask, every) in asks.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def watching(self) -> Iterator[dict[str, Seen]]:
        """Collect what is seen while the block runs, by service."""
        with self._lock:
            found: dict[str, Seen] = {}
            self._seen = found
        try:
            yield found
        finally:
            with self._lock:
                self._seen = {}
                for seen in found.values():  # a service that never came back
                    silence = time.monotonic() - seen.answered_at
                    seen.longest_silence = max(seen.longest_silence, silence)

    def _ask(self, name: str, ask: Callable[[httpx.Client], float], every: float) -> None:
        with httpx.Client(timeout=5, trust_env=False) as http:
            while not self._closed.wait(every):
                try:
                    age = ask(http)
                except (httpx.HTTPError, ValueError):
                    self._note(name, None)
                else:
                    self._note(name, age)

    def _note(self, name: str, age: float | None) -> None:
        with self._lock:
            seen = self._seen.setdefault(name, Seen())
            seen.asked += 1
            if age is None:
                seen.failed += 1
                return
            now = time.monotonic()
            seen.longest_silence = max(seen.longest_silence, now - seen.answered_at)
            seen.stalest = max(seen.stalest, age)
            seen.answered_at = now

    def _newest_event(self, http: httpx.Client) -> float:
        body = self._body(http.get(f"{self._system.url('serving')}/api/events?limit=1"))
        return time.time() - body["data"][0]["timestamp"] / 1000 if body["data"] else 0.0

    def _runs(self, http: httpx.Client) -> float:
        self._body(http.get(f"{self._system.url('batch')}/security/runs"))
        return 0.0

    def _question(self, http: httpx.Client) -> float:
        body = {"question": "Is user manager anomalous?", "context_window": "1h"}
        answer = self._body(http.post(f"{self._system.url('assistant')}/query", json=body))
        if not answer["answer"]:
            raise ValueError("an answer without a word")
        return 0.0

    @staticmethod
    def _body(answer: httpx.Response) -> Any:  # noqa: ANN401 - JSON
        return answer.raise_for_status().json()
