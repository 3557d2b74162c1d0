"""A judge of answers that shares no code with the assistant's own citation check.

It reads an answer as a client does, and holds it against the seeded records, not against what the
assistant says it fetched:

* ``sentences``         text and citations of each sentence, by the form ``text [E1] [E2].``
* ``unsupported``       quotations, times, numbers, ids and names that no cited record holds
* ``false_records``     fields and figures of the evidence that differ from the seeded records
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from genai_assistant.testing import World, is_open

SENTENCE = re.compile(
    r"(?P<text>(?:\"[^\"]*\"|[^\"\[])+?)\s*(?P<cites>(?:\[E\d+\]\s*)*)(?:\.(?=\s|$)|$)"
)
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
NUMBER = re.compile(r"(?<![\w.:-])\d[\d,]*(?:\.\d+)?(?!\.?\w|-\w)")
IDENTIFIER = re.compile(r"\bT\d{4}(?:\.\d{3})?\b|\b\d{1,3}(?:\.\d{1,3}){3}\b")
FIRST_MS, LAST_MS = 10**12, 10**13
OURS = frozenset({"technique", "rule", "capabilities", "source_failure"})
"""Kinds of record whose text the project wrote: figures in it may be repeated."""
SAME_FIELDS = {
    "event": "user timestamp event_type status source_ip anomaly_score is_anomaly",
    "anomaly": "user timestamp event_type source_ip anomaly_score reasons",
    "alert": "alert_type severity event_count first_seen last_seen resolved techniques",
    "user_batch_verdict": "is_anomaly anomaly_score_normalized total_events",
}

Record = dict[str, Any]


@dataclass(frozen=True)
class Sentence:
    """Words without citations, and the ids they cite."""

    text: str
    cites: tuple[str, ...]


def sentences(answer: str) -> list[Sentence]:
    """Split an answer; what carries no citation is a sentence without any."""
    found = []
    for line in answer.split("\n"):
        for match in SENTENCE.finditer(line):
            text = match["text"].strip(" .")
            if text:
                found.append(Sentence(text, tuple(re.findall(r"E\d+", match["cites"]))))
    return found


def unsupported(sentence: Sentence, records: list[Record], names: Iterable[str]) -> str | None:
    """Return what a sentence says that none of its records holds, None when all is held.

    Args:
        sentence: What is judged.
        records: Evidence it cites, with ``kind`` and ``record``.
        names: Users and addresses of the whole world.
    """
    texts = [text for one in records for text in _texts(one["record"])]
    ours = [text for one in records if one["kind"] in OURS for text in _texts(one["record"])]
    numbers = [number for one in records for number in _numbers(one["record"])]
    plain = sentence.text
    for quotation in re.findall(r'"([^"]*)"', plain):
        if quotation not in texts and not _is_cut(quotation, texts):
            return f"quotation {quotation}"
    plain = re.sub(r'"[^"]*"', " ", plain)
    for time in TIME.findall(plain):
        if time not in map(_utc, numbers):
            return f"time {time}"
    plain = TIME.sub(" ", plain)
    for identifier in IDENTIFIER.findall(plain):
        if not any(identifier in text for text in texts):
            return f"id {identifier}"
    plain = IDENTIFIER.sub(" ", plain)
    for written in NUMBER.findall(plain):
        if not _is_held(written, numbers) and not any(written in text for text in ours):
            return f"number {written}"
    words = set(re.findall(r"[\w.@-]+", plain))
    held = " ".join(texts)
    missing = [name for name in names if name in words and name not in held]
    return f"name {missing[0]}" if missing else None


def false_records(evidence: list[Record], world: World) -> Iterator[str]:
    """Yield each field or figure of the evidence that the seeded records contradict."""
    for item in evidence:
        kind, record = item["kind"], item["record"]
        raw = _seeded(kind, record, world)
        if raw is not None:
            for name in SAME_FIELDS[kind].split():
                if name in record and record[name] != raw.get(name):
                    yield f"{item['id']} {kind}.{name}: {record[name]} is not {raw.get(name)}"
        for name, value in _counted(kind, record, world):
            if record[name] != value:
                yield f"{item['id']} {kind}.{name}: {record[name]} is not {value}"


def _seeded(kind: str, record: Record, world: World) -> Record | None:
    """Return the seeded record that an evidence record is a copy of."""
    match kind:
        case "event" | "anomaly":
            rows = world.events if kind == "event" else world.anomalies
            return next(one for one in rows if one["event_id"] == record["event_id"])
        case "alert":
            return next(one for one in world.alerts if one["alert_id"] == record["alert_id"])
        case "user_batch_verdict":
            return world.users[record["user"]]
        case _:
            return None


def _counted(kind: str, record: Record, world: World) -> Iterator[tuple[str, object]]:
    """Yield figures counted again over the seeded records."""
    match kind:
        case "activity" if record["is_exact"]:
            rows = _events(world, record, record["from"], record["to"])
            yield "events", len(rows)
            # None says that these were not counted over all events.
            if record["failed_events"] is not None:
                yield "failed_events", sum(one["status"] == "failed" for one in rows)
            if record["anomalous_events"] is not None:
                yield "anomalous_events", sum(one["is_anomaly"] for one in rows)
            yield "last_event", max((one["timestamp"] for one in rows), default=None)
        case "failed_logins" if record["examined"] == record["failed_logins"] > 0:
            limits = {**record, "status": "failed", "event_type": "auth_attempt"}
            rows = _events(world, limits, record["first"], record["last"] + 1)
            yield "failed_logins", len(rows)
            yield "users", len({one["user"] for one in rows})
            yield "addresses", len({one["source_ip"] for one in rows})
        case "trend":
            starts = [one["from"] for one in record["slices"]]
            rows = _events(world, record, starts[0], LAST_MS)
            yield "events", len(rows)
        case "totals":
            yield "totalEvents", len(world.events)
            yield "totalAnomalies", len(world.anomalies)
        case "batch_report" if "total_users" in record:
            yield "total_users", len(world.users)
            yield "anomalous_users", sum(one["is_anomaly"] for one in world.users.values())
        case "alert_summary" if record["is_all"]:
            whose = [one for one in world.alerts if one["user_id"] == record.get("user")]
            rows = whose if "user" in record else world.alerts
            yield "open_alerts", sum(map(is_open, rows))


def _events(world: World, limits: Record, start: int, end: int) -> list[Record]:
    wanted = {
        name: limits[name]
        for name in ("user", "source_ip", "event_type", "status")
        if name in limits
    }
    if "address" in limits:
        wanted["source_ip"] = limits["address"]
    place = limits.get("country"), limits.get("outside_country")
    return [
        one
        for one in world.events
        if start <= one["timestamp"] < end
        and all(one[name] == value for name, value in wanted.items())
        and _is_placed(one, *place)
    ]


def _is_placed(event: Record, inside: str | None, outside: str | None) -> bool:
    country = event["metadata"]["geo_location"][:2]
    return (inside is None or country == inside) and (outside is None or country != outside)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, str) and re.fullmatch(r"\d+(?:min|[hdwm])", value):
        yield int(re.sub(r"\D", "", value))


def _is_held(written: str, numbers: list[float]) -> bool:
    """Say whether a record has the number, rounded as it is written."""
    digits = written.replace(",", "").rstrip(".")
    decimals = len(digits.partition(".")[2])
    return any(round(number, decimals) == float(digits) for number in numbers)


def _is_cut(quotation: str, texts: list[str]) -> bool:
    """Say whether a quotation is the beginning of a long value, or a value escaped as JSON is."""
    start = quotation.removesuffix("...")
    return any(text.startswith(start) for text in texts if len(text) > len(start)) or any(
        json.dumps(text)[1:-1] == quotation for text in texts
    )


def _utc(number: float) -> str:
    if not FIRST_MS <= number < LAST_MS:
        return ""
    return datetime.fromtimestamp(number / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
