"""Streams of events with known intrusions: the generator's own, and harder ones.

A plain run is the event generator's. The hard run rewrites a fortnight of its normal events. Some
users change, which is no intrusion: they move, get a new device, or join late. Into the accounts
of others somebody breaks in who keeps the user's hours and kinds of work:

* poisoning: from a foreign address, four events a day for a week, so that the baseline learns
  it; then a dozen a day, some of them at sensitive files.
* low-and-slow: from one new address in the user's own place, two events a day.
"""

import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MONDAY_MS = 1_767_571_200_000  # 2026-01-05T00:00Z

Event = dict[str, Any]

CHANGES = {"move": 20, "new device": 20, "new joiner": 20}
"""Users who change, by how."""
INTRUSIONS = {"poisoning": 15, "low-and-slow": 15}
"""Users whose accounts are broken into, by how."""

MOVE_DAY, DEVICE_DAY, JOIN_DAY, BREAK_IN_DAY, STRIKE_DAY = 7, 6, 9, 3, 10
WARM_UP_A_DAY, STRIKES_A_DAY, SLOW_A_DAY = 4, 12, 2
NEW_PLACES = ("ES-MD-Madrid", "PT-LIS-Lisbon", "NO-OSL-Oslo", "CL-STG-Santiago")
FOREIGN_PLACES = ("RU-MOW-Moscow", "VN-HAN-Hanoi", "BR-SP-SaoPaulo")
OTHER_AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_2) Safari/618.1"
SENSITIVE_FILE = "/etc/shadow"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of run.

    Attributes:
        name: As in the report.
        users, events: How many.
        span_seconds: Event time that the events cover.
        start_hour: Of a Monday, UTC, when it begins. At midnight few users are at work, and in
            their accounts the generator's intruders are among the first to act.
        is_hard: Whether people change and intruders hide.
    """

    name: str
    users: int
    events: int
    span_seconds: int
    start_hour: int = 8
    is_hard: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Events of a scenario with one seed, and the truth about them.

    Attributes:
        lines: Events as JSON, in order of event time.
        kinds: The kind of intrusion by event id, of every labelled event.
        groups: How users change or are broken into; of a plain run, none.
    """

    lines: list[bytes]
    kinds: dict[str, str]
    groups: dict[str, str]


def generate(scenario: Scenario, seed: int, directory: Path) -> Run:
    """Make a run; the same arguments make the same one."""
    output, labels = directory / "events.jsonl", directory / "labels.jsonl"
    flags = {
        "--rate": 0,
        "--users": scenario.users,
        "--count": scenario.events,
        "--seed": seed,
        "--start-time": MONDAY_MS + scenario.start_hour * HOUR_MS,
        "--clock-span": scenario.span_seconds,
        "--output": output,
        "--labels": labels,
    }
    arguments = [str(part) for flag in flags.items() for part in flag]
    command = [sys.executable, "-m", "event_generator", "security", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    lines = output.read_bytes().splitlines()
    kinds = {json.loads(line)["event_id"]: "plain" for line in labels.read_bytes().splitlines()}
    if not scenario.is_hard:
        return Run(lines, kinds, {})
    normal = [event for event in map(json.loads, lines) if event["event_id"] not in kinds]
    return hard_run(normal, random.Random(seed))


def hard_run(events: list[Event], rng: random.Random) -> Run:
    """Change some users, break into others' accounts."""
    groups = draw_groups({event["user"] for event in events}, rng)
    own: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        own[event["user"]].append(event)
    kept = [event for event in events if change(event, groups.get(event["user"], ""))]
    intrusions = [
        (event, group)
        for user, group in sorted(groups.items())
        if group in INTRUSIONS
        for event in break_in(own[user], group, rng)
    ]
    kept += [event for event, _ in intrusions]
    kept.sort(key=lambda event: int(event["timestamp"]))
    lines = [json.dumps(event, separators=(",", ":")).encode() for event in kept]
    return Run(lines, {event["event_id"]: group for event, group in intrusions}, groups)


def draw_groups(users: Iterable[str], rng: random.Random) -> dict[str, str]:
    """Return the group of each user who has one."""
    left = sorted(users)
    rng.shuffle(left)
    return {left.pop(): name for name, size in (CHANGES | INTRUSIONS).items() for _ in range(size)}


def change(event: Event, group: str) -> bool:
    """Rewrite an event as its user's change demands; False if it does not happen."""
    day = (event["timestamp"] - MONDAY_MS) // DAY_MS
    number = sum(event["user"].encode())
    if group == "move" and day >= MOVE_DAY:
        event["source_ip"] = f"10.77.{number % 250}.{event['source_ip'].rpartition('.')[2]}"
        event["metadata"]["geo_location"] = NEW_PLACES[number % len(NEW_PLACES)]
    elif group == "new device" and day >= DEVICE_DAY:
        event["metadata"]["hostname"] = f"ws-{event['user']}-02"
        event["metadata"]["user_agent"] = OTHER_AGENT
    return not (group == "new joiner" and day < JOIN_DAY)


def break_in(own: list[Event], group: str, rng: random.Random) -> list[Event]:
    """Return the intruder's events: the user's own, minutes later, from elsewhere."""
    by_day: dict[int, list[Event]] = defaultdict(list)
    for event in own:
        by_day[(event["timestamp"] - MONDAY_MS) // DAY_MS].append(event)
    address = f"198.51.100.{rng.randrange(1, 255)}"
    place = rng.choice(FOREIGN_PLACES)
    found: list[Event] = []
    for day, models in sorted(by_day.items()):
        if day < BREAK_IN_DAY:
            continue
        strikes = group == "poisoning" and day >= STRIKE_DAY
        number = STRIKES_A_DAY if strikes else WARM_UP_A_DAY
        number = SLOW_A_DAY if group == "low-and-slow" else number
        for model in rng.choices(models, k=number):
            event = json.loads(json.dumps(model))
            event["event_id"] = f"evt_{rng.getrandbits(128):032x}"
            event["timestamp"] += rng.randrange(60_000, 600_000)
            event["source_ip"] = address
            if group == "poisoning":
                event["metadata"]["geo_location"] = place
            else:
                event["metadata"]["hostname"] = "unnamed"
            if strikes and event["event_type"] == "file_access":
                event["metadata"]["file_path"] = SENSITIVE_FILE
            found.append(event)
    return found
