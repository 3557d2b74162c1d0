"""Hours of ordinary load, and whether any process grows with time.

    make soak             one hour at 2,000 events/s; writes its section of docs/benchmarks.md
    HOURS=8 make soak     longer
    QUICK=1 make soak     three minutes; writes nothing

A stack of its own with a batch run every five minutes, a producer, and a client that asks the
three APIs. Every ten seconds: memory, open file handles and threads of each service with all its
processes, and what its folders take on the disk. Memory is what the kernel cannot take back:
resident pages but those of mapped files, which stand in a column of their own. The slopes are least
squares over the last two thirds of the time, when caches are full.

Some growth is owed to the events: every layer stores them, and the speed and the serving layer
keep an index of what they store. The verdict is "steady" when no service gains more handles than
``HANDLES_PER_HOUR``, none gains more memory than ``OWED_BYTES`` for each event that came meanwhile
plus ``MIB_PER_HOUR``, none more disk than ``OWED_DISK_BYTES`` for each event, nothing is missing or
there twice, and no request failed. Prints a table, and one line of JSON last.
"""

import json
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from docs_section import write_section
from running_system import Client, Load, Seen, System

from speed_layer.testing import wait_for

QUICK = bool(os.environ.get("QUICK"))
HOURS = float(os.environ.get("HOURS", "0.05" if QUICK else "1"))
RATE = int(os.environ.get("RATE", "2000"))
EVERY_SECONDS = 2.0 if QUICK else 10.0
RUN_MINUTES = 1 if QUICK else 5
HANDLES_PER_HOUR = 20.0
MIB_PER_HOUR = 64.0
OWED_BYTES = 64
OWED_DISK_BYTES = 1024
FOLDERS = {
    "kafka": ("kafka",),
    "speed-layer": ("speed",),
    "batch-layer": ("batch", "lake"),
    "serving-layer": ("serving",),
    "genai-assistant": ("assistant",),
}
"""Where each service keeps its data, below the stack's folder."""
LEAST_HOURS = 0.5
"""Below this, start-up is all there is to see."""
HEADER = [
    "| service | memory, MiB: first, last, most | slope, MiB/h | handles: first, last"
    " | slope, 1/h | threads | disk, MiB: first, last | slope, MiB/h | mapped, MiB: first, last |",
    "|---|---|---|---|---|---|---|---|---|",
]


@dataclass
class Trend:
    """Samples of one service: seconds, MiB of memory, handles, threads, MiB of disk and mapped."""

    samples: list[tuple[float, float, int, int, float, float]] = field(default_factory=list)

    def slope(self, column: int) -> float:
        """Return the least-squares slope per hour over the last two thirds of the time."""
        rows = np.array(self.samples, dtype=float)
        late = rows[rows[:, 0] >= rows[-1, 0] / 3]
        return float(np.polyfit(late[:, 0] / 3600, late[:, column], 1)[0])

    def row(self, name: str) -> str:
        """Return the row of the table."""
        rows = np.array(self.samples, dtype=float)
        first, last = rows[0], rows[-1]
        return (
            f"| {name} | {first[1]:.0f}, {last[1]:.0f}, {rows[:, 1].max():.0f}"
            f" | {self.slope(1):+.1f} | {first[2]:.0f}, {last[2]:.0f} | {self.slope(2):+.1f}"
            f" | {last[3]:.0f} | {first[4]:.0f}, {last[4]:.0f} | {self.slope(4):+.0f}"
            f" | {first[5]:.0f}, {last[5]:.0f} |"
        )


def main() -> int:
    """Soak, and print the trends."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        with System(folder, {"BATCH_SCHEDULE_MINUTES": str(RUN_MINUTES)}) as system:
            system.up()
            with Load(system.settings.bootstrap_servers, RATE) as load, Client(system) as client:
                wait_for("the first events", lambda: system.total() > 0, 60)
                trends, seen = _watch(system, client, folder)
                load.stop()
                produced = load.acknowledged
                wait_for(f"{produced} events", lambda: system.total() == produced, 300)
                wrong = system.wrong()
    return _report(trends, seen, produced, wrong)


def _watch(
    system: System, client: Client, folder: Path
) -> tuple[dict[str, Trend], dict[str, Seen]]:
    trends = {service.name: Trend() for service in system.stack.services}
    began = time.monotonic()
    with client.watching() as seen:
        while (at := time.monotonic() - began) < 3600 * HOURS:
            for name, trend in trends.items():
                process = system.stack.record(name).process
                disk = sum(_stored(folder / each) for each in FOLDERS[name])
                memory, mapped, handles, threads = _measured(process.pid if process else 0)
                trend.samples.append((at, memory, handles, threads, disk, mapped))
            time.sleep(EVERY_SECONDS)
    return trends, seen


def _measured(pid: int) -> tuple[float, float, int, int]:
    """Return MiB held and mapped, handles and threads of a process and everything below it."""
    memory, mapped, handles, threads = 0.0, 0.0, 0, 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        try:
            held = member.memory_info()
            shared = getattr(held, "shared", 0)  # Linux alone tells it apart
            memory += (held.rss - shared) / 2**20
            mapped += shared / 2**20
            handles += member.num_fds()
            threads += member.num_threads()
        except psutil.NoSuchProcess:
            continue
    return memory, mapped, handles, threads


def _stored(folder: Path) -> float:
    """Return the MiB that a folder takes on the disk; holes in files take none."""
    blocks = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # deleted since it was listed
                blocks += os.lstat(Path(parent, name)).st_blocks
    return blocks * 512 / 2**20


def _report(
    trends: dict[str, Trend],
    seen: dict[str, Seen],
    produced: int,
    wrong: tuple[int, int],
) -> int:
    memory = max(trend.slope(1) for trend in trends.values())
    handles = max(trend.slope(2) for trend in trends.values())
    disk = max(trend.slope(4) for trend in trends.values())
    owed = RATE * 3600 * OWED_BYTES / 2**20 + MIB_PER_HOUR
    owed_disk = RATE * 3600 * OWED_DISK_BYTES / 2**20
    failed = sum(each.failed for each in seen.values())
    long_enough = HOURS >= LEAST_HOURS
    faults = [
        text
        for text, holds in (
            (f"memory grows by {memory:.0f} MiB/h", long_enough and memory > owed),
            (f"handles grow by {handles:.0f} an hour", long_enough and handles > HANDLES_PER_HOUR),
            (f"disk grows by {disk:.0f} MiB/h", long_enough and disk > owed_disk),
            (f"missing and double: {wrong}", wrong != (0, 0)),
            (f"{failed} requests failed", failed > 0),
        )
        if holds
    ]
    verdict = "; ".join(faults) or ("steady" if long_enough else "no fault, too short for a trend")
    lines = [*HEADER, *(trend.row(name) for name, trend in trends.items()), ""]
    lines += [
        f"{produced:,} events in {HOURS:g} h, a batch run every {RUN_MINUTES} minutes; "
        f"owed to the events, a service: up to {owed:.0f} MiB/h of memory, {owed_disk:.0f} of disk. "
        "Requests: "
        + ", ".join(
            f"{name} {each.asked} asked, {each.failed} failed, at most {each.longest_silence:.1f} s"
            " without an answer"
            for name, each in sorted(seen.items())
        )
        + "."
    ]
    figures = {
        "hours": HOURS,
        "memory_slope_mib_per_h": round(memory, 1),
        "handles_slope": round(handles, 2),
        "disk_slope_mib_per_h": round(disk, 1),
        "verdict": verdict,
    }
    print("\n".join(lines))
    if not QUICK:
        write_section("soak", [*lines, "", f"`{json.dumps(figures)}`"])
    print(json.dumps(figures))
    return int(bool(faults))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stack is stopped on the way out
    sys.exit(main())
