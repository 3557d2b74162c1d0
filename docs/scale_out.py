"""What a number of events a day needs, from figures that the benchmarks print.

    python docs/scale_out.py --events-per-cpu-second 80869 --bytes-per-event 112.8

The figures are those of ``make bench-speed`` (``events_per_cpu_second``, ``bytes_per_event``) and,
for the batch rows, of ``make bench-batch`` (``full_10m_s``: seconds of a full security run over 10
million events on 2 cores). They are of one machine: run the benchmarks on yours.
"""

import argparse
import math
from collections.abc import Iterator, Sequence

DAY_SECONDS = 86_400
GIB = 1 << 30
RUN_EVENTS, RUN_CORES = 10_000_000, 2
SPARE = 0.6
"""Share of a core that is planned for; the rest is for bursts, restarts and catching up."""


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description="What a number of events a day needs.")
    parser.add_argument("--events-a-day", type=float, default=1e9)
    parser.add_argument("--peak", type=float, default=3.0, help="busiest second against the mean")
    parser.add_argument("--event-bytes", type=float, default=576, help="one record of the topic")
    parser.add_argument("--retention-days", type=float, default=7, help="of topic and store")
    parser.add_argument("--events-per-cpu-second", type=float, required=True)
    parser.add_argument("--bytes-per-event", type=float, required=True, help="in the store")
    parser.add_argument("--full-10m-s", type=float, help="a full run over 10 million events")
    return parser.parse_args(words)


def needs(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield each need and its size."""
    mean = given.events_a_day / DAY_SECONDS
    peak = mean * given.peak
    cores = peak / given.events_per_cpu_second / SPARE
    yield "events/s, mean", f"{mean:,.0f}"
    yield "events/s, peak", f"{peak:,.0f}"
    yield "cores of the speed layer at peak", f"{cores:.2f}"
    yield "partitions and instances of the speed layer, at least", f"{math.ceil(cores)}"
    days, kept = given.events_a_day * given.retention_days, f"{given.retention_days:g} days"
    yield (
        f"topic, {kept}, GiB before compression and replicas",
        f"{days * given.event_bytes / GIB:,.0f}",
    )
    yield f"store of the speed layer, {kept}, GiB", f"{days * given.bytes_per_event / GIB:,.0f}"
    if given.full_10m_s:
        per_core = RUN_EVENTS / given.full_10m_s / RUN_CORES
        yield "batch, events/s of one core", f"{per_core:,.0f}"
        hours = given.events_a_day / per_core / 3600
        yield "batch, core-hours for a day of events", f"{hours:,.1f}"
        yield "batch, cores that are busy all day", f"{hours / 24:.2f}"


def main() -> None:
    """Print the needs as a table."""
    given = arguments()
    print(f"| for {given.events_a_day:,.0f} events a day | |")
    print("|---|---|")
    for name, size in needs(given):
        print(f"| {name} | {size} |")


if __name__ == "__main__":
    main()
