"""``streamguard ingest sshd``: the lines of a log to events on a topic."""

import argparse
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from types import FrameType
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts import traces
from contracts.topics import SECURITY_EVENTS
from streamguard_cli import lines
from streamguard_cli.errors import LineError, UsageError
from streamguard_cli.kafka import EventSink
from streamguard_cli.output import result, say
from streamguard_cli.sshd.adapter import SshdAdapter
from streamguard_cli.sshd.dates import Years

FIRST_YEAR, LAST_YEAR = 2020, 2033


class Sink(Protocol):
    """Takes keyed values."""

    def send(self, key: str, value: str) -> None: ...

    def poll(self) -> None: ...


@dataclass(slots=True)
class Counts:
    """What came of the lines read so far."""

    lines: int = 0
    bad_lines: int = 0
    events: int = 0


class _StopRequestedError(Exception):
    """The operator asked the command to end."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb and its flags."""
    parser = commands.add_parser("ingest", help="send a log's events to Kafka")
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    sshd = formats.add_parser("sshd", help="log of an OpenSSH server")
    sshd.add_argument("file", metavar="FILE", help="syslog file; - is standard input")
    sshd.add_argument("--follow", action="store_true", help="go on with what is appended")
    sshd.add_argument("--year", type=int, help="year of the first line, where lines name none")
    sshd.add_argument("--timezone", default="UTC", help="of lines that name none (default: UTC)")
    sshd.add_argument("--broker", default="localhost:9092", help="default: localhost:9092")
    sshd.add_argument("--topic", default=SECURITY_EVENTS, help=f"default: {SECURITY_EVENTS}")
    sshd.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ingest a log; 0 when every event was acknowledged, else 1.

    Raises:
        CommandError: If the log cannot be read, or the broker not be reached.
    """
    zone = _zone(options.timezone)
    if options.year is not None and not FIRST_YEAR <= options.year <= LAST_YEAR:
        raise UsageError(f"--year {options.year}: events lie from {FIRST_YEAR} to {LAST_YEAR}")
    years = Years(lines.last_written(options.file), options.year)
    traces.configure("streamguard")
    sink = EventSink(options.broker, options.topic)
    sink.open()
    counts = Counts()
    try:
        with _stop_on_signals(), traces.producing(options.topic):
            ingest(_source(options, years), SshdAdapter(years, zone), sink, counts)
    except _StopRequestedError:
        say("stopped; delivering what was read")
    finally:
        sink.close()
    result(
        f"{counts.lines:,} lines: {counts.events:,} events, {sink.acknowledged:,} acknowledged,"
        f" {sink.failed:,} failed; {counts.bad_lines:,} bad lines"
    )
    if sink.failed:
        say(f"{sink.reason}. Run the command again: what has arrived is not counted twice")
    return 1 if sink.failed else 0


def ingest(
    source: Iterable[bytes | None], adapter: SshdAdapter, sink: Sink, counts: Counts
) -> None:
    """Send the events of every line; a bad line is reported with its number and costs no other."""
    for line in source:
        if line is None:
            sink.poll()
            continue
        counts.lines += 1
        try:
            events = adapter.events(line)
        except LineError as error:
            counts.bad_lines += 1
            say(f"line {counts.lines}: {error}")
            continue
        for event in events:
            sink.send(event.key, event.value)
            counts.events += 1


def _source(options: argparse.Namespace, years: Years) -> Iterator[bytes | None]:
    if not options.follow or options.file == lines.STANDARD_INPUT:
        yield from lines.read(options.file)
        return
    for line in lines.follow(options.file):
        years.reference = datetime.now(UTC)
        yield line


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"--timezone {name}: no such time zone") from error


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Raise once in the loop when SIGINT or SIGTERM comes."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _StopRequestedError

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
