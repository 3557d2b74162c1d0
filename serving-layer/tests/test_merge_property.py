"""The merge against a single list of all distinct events, whatever happens in between."""

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.views import (
    AGGREGATE_SCHEMA,
    BATCH_EVENT_SCHEMA,
    USER_SCHEMA,
    Manifest,
    RecordKind,
)
from serving_layer.cases.states import NO_CASES
from serving_layer.routes.users import user_page
from serving_layer.testing import (
    START_MS,
    RunPartition,
    aggregate_rows,
    alert_record,
    event_record,
    removed_record,
    segment_table,
    user_record,
)
from serving_layer.views.accounts import Position, consistency
from serving_layer.views.alert_list import AlertList, entry
from serving_layer.views.batch import Aggregates, BatchView, held_by_stream
from serving_layer.views.index import EventIndex, merged
from serving_layer.views.interning import Interners
from serving_layer.views.pieces import Piece
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import (
    AlertFilter,
    alert_count,
    alert_page,
    count,
    event_by_id,
    event_page,
    summary,
)
from serving_layer.views.realtime import Segment
from serving_layer.views.risk import ranked, risk_of
from serving_layer.views.scratch import Scratch
from serving_layer.views.snapshot import Views
from serving_layer.views.stored import stored
from serving_layer.views.streams import stream_code
from serving_layer.views.users import UserTable

PARTITIONS = [("security-events", 0), ("security-events", 1), ("user-events", 0)]
SCRATCH = Scratch(Path(tempfile.gettempdir()), least_rows=0)
"""Its files have no name."""
MANIFEST = {
    "created_at": 0,
    "full": True,
    "detection_version": "t",
    "scorer": "s",
    "algorithm": "a",
    "event_files": [],
    "alert_files": [],
    "aggregate_files": [],
    "user_files": [],
    "state_files": [],
    "report": "",
}
PROFILE = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(PROFILE, max_examples=1_000)


def log_of(seed, lengths):
    """A log of three partitions: dicts are events, None is an offset that the broker skipped.

    Made from a seed: drawing every value of every event from Hypothesis takes longer than the merge.
    An event with ``repeats`` has the id of an earlier one: the speed layer, whose horizon is bounded,
    keeps it; a run removes it.
    """
    draw = random.Random(seed)
    log = []
    for length in lengths:
        part = []
        for _ in range(length):
            kind = draw.random()
            if kind < 0.2:
                part.append(draw.choice([RecordKind.DEAD_LETTER, RecordKind.DUPLICATE, None]))
                continue
            event = {name: draw.choice(values) for name, values in VALUES.items()}
            earlier = [n for n, item in enumerate(part) if isinstance(item, dict)]
            if kind < 0.3 and earlier:
                event["repeats"] = draw.choice(earlier)
            part.append(event)
        log.append(part)
    return log


VALUES = {
    "user": ["alice", "bob", "unknown"],
    "timestamp": [START_MS + late for late in range(7)],
    "event_type": ["auth_attempt", "dns_query"],
    "status": ["success", "failed", None],
    "source_ip": ["10.0.0.1", "10.0.0.2", None],
    "threat_score": [None, 0.0, 0.5, 0.7, 1.0],
    "is_anomaly": [False, True],
    "anomaly_score": [0.2, 0.7, 1.0],
}
logs = st.builds(
    log_of,
    st.integers(0, 2**32),
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12)),
)
filters = st.builds(
    EventFilter,
    user=st.sampled_from([None, "alice", "nobody"]),
    event_type=st.sampled_from([None, "auth_attempt"]),
    status=st.sampled_from([None, "failed"]),
    source_ip=st.sampled_from([None, "10.0.0.2"]),
    start_time=st.sampled_from([None, START_MS + 2]),
    end_time=st.sampled_from([None, START_MS + 5]),
    min_threat=st.sampled_from([None, 0.7]),
    max_threat=st.sampled_from([None, 0.7]),
    anomalies_only=st.booleans(),
    min_anomaly_score=st.sampled_from([None, 0.7]),
)
USERS = USER_SCHEMA.append(pa.field("is_anomaly", pa.bool_()))
VERDICT = {
    name: value for name, value in user_record("").items() if name not in ("user", "is_anomaly")
}
fraction = st.floats(0, 1)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("tail"), st.integers(0, 2), fraction),
        st.tuples(st.just("tail all"), st.none(), fraction),
        st.tuples(st.just("resend"), st.integers(0, 2), fraction),
        st.tuples(st.just("rebalance"), st.integers(0, 2), fraction),
        st.tuples(st.just("fail"), st.none(), st.none()),
        st.tuples(st.just("publish"), st.tuples(fraction, fraction, fraction), st.none()),
        st.tuples(st.just("take back"), st.none(), st.none()),
        st.tuples(st.just("merge"), st.none(), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    max_size=12,
)


def users_of(run_id, rows):
    """A run's verdicts: a user with an anomalous event below the seam is anomalous."""
    flagged = {row["user"]: False for row in rows}
    flagged |= {row["user"]: True for row in rows if row["is_anomaly"]}
    table = pa.Table.from_pylist(
        [{"user": user, "is_anomaly": flag, **VERDICT} for user, flag in flagged.items()],
        schema=USERS,
    )
    return UserTable(table, run_id)


@dataclass
class World:
    """A log of three partitions, and the serving layer's views of it."""

    log: list
    views: Views = field(default_factory=Views)
    seams: list = field(default_factory=lambda: [(0, 0, 0)])
    begins_without_a_run: bool = False
    before: object = None

    def __post_init__(self):
        self.lengths = [len(part) for part in self.log]
        self.records = [
            [
                record
                for offset, item in enumerate(part)
                if (record := self._record(topic, number, offset, item)) is not None
            ]
            for (topic, number), part in zip(PARTITIONS, self.log, strict=True)
        ]
        self.begin()

    def begin(self):
        """Serve what a process finds that starts now."""
        if len(self.seams) > 1 or not self.begins_without_a_run:
            self.publish(self.seams[-1])
            return
        self.views.publish(BatchView())
        for coordinates in PARTITIONS:
            self.views.open(stream_code(*coordinates), 0)

    def _record(self, topic, number, offset, item):
        if item is None:
            return None
        if not isinstance(item, dict):
            return removed_record(offset, item)
        values = {name: value for name, value in item.items() if name != "repeats"}
        first = self.first_of(self.log[PARTITIONS.index((topic, number))], offset)
        return event_record(offset, event_id=f"{topic}-{number}-{first}", **values)

    def first_of(self, part, offset):
        """The offset of the event that one repeats, or its own."""
        while (earlier := part[offset].get("repeats")) is not None:
            offset = earlier
        return offset

    def is_repeat(self, part, offset):
        item = self.log[part][offset]
        return isinstance(item, dict) and "repeats" in item

    def judged(self, part, record):
        """What a run makes of a record: it knows repeats over all history."""
        if self.is_repeat(part, record["offset"]):
            return removed_record(record["offset"], RecordKind.DUPLICATE)
        return record

    def alerts(self, part, low, high, *, of_run=False):
        topic, number = PARTITIONS[part]
        return [
            alert_record(
                topic, number, record["offset"], timestamp=record["timestamp"],
                user_id=record["user"],
            )
            for record in self.records[part]
            if low <= record["offset"] < high and record["kind"] == 0 and record["is_anomaly"]
            and not (of_run and self.is_repeat(part, record["offset"]))
        ]  # fmt: skip

    def publish(self, seam):
        partitions = [
            RunPartition(
                topic, number,
                [self.judged(part, r) for r in self.records[part] if r["offset"] < seam[part]],
                seam[part],
            )
            for part, (topic, number) in enumerate(PARTITIONS)
        ]  # fmt: skip
        manifest = Manifest(
            run_id=f"r{len(self.seams)}", seam=[part.seam() for part in partitions], **MANIFEST
        )
        rows = [row for part in partitions for row in part.events()]
        indexes = tuple(
            self.batch_index(part.topic, part.partition, part.events())
            for part in partitions
            if part.events()
        )
        sums = pa.Table.from_pylist(aggregate_rows(rows), schema=AGGREGATE_SCHEMA)
        alerts = [
            alert for part in range(3) for alert in self.alerts(part, 0, seam[part], of_run=True)
        ]
        self.views.publish(
            parts=self.parts(manifest),
            batch=BatchView(
                manifest=manifest,
                users=users_of(manifest.run_id, rows),
                indexes=indexes,
                alerts=AlertList([entry(alert) for alert in alerts]),
                aggregates=Aggregates.of(sums),
                held=held_by_stream(indexes),
            ),
        )

    def parts(self, manifest):
        """What a thread cut ahead of time: now, or before the last segment came."""
        loaded = self.views.loaded
        if loaded is None:
            return None
        seam = BatchView(manifest=manifest).seam
        realtime = self.before.realtime if self.before is not None else loaded.realtime
        return realtime.parts_above(seam)

    def batch_index(self, topic, number, rows):
        table = stored(pa.Table.from_pylist(rows, schema=BATCH_EVENT_SCHEMA))
        return EventIndex.of_piece(
            Piece(table.to_batches()), stream_code(topic, number), self.views.interners,
            frozenset({"file"}), SCRATCH,
        )  # fmt: skip

    def held(self, part):
        coverage = self.views.current().realtime.coverage
        return coverage[stream_code(*PARTITIONS[part])]

    def send(self, *ranges):
        """Play one answer of the speed layer: a range of each of some partitions."""
        self.before = self.views.current()
        self.views.append([self.segment(*each) for each in ranges])

    def segment(self, part, start, end):
        rows = [r for r in self.records[part] if start <= r["offset"] < end]
        stream = stream_code(*PARTITIONS[part])
        return Segment(stream, start, end, segment_table(rows), self.alerts(part, start, end))

    def coming(self, part, share):
        """What the speed layer sends next of a partition."""
        start = self.held(part).next_offset
        return part, start, start + round(share * (self.lengths[part] - start))

    def apply(self, operation):
        name, what, how_far = operation
        if name == "tail":
            _, start, end = self.coming(what, how_far)
            if end > start:
                self.send((what, start, end))
        elif name == "tail all":
            ranges = [self.coming(part, how_far) for part in range(len(PARTITIONS))]
            self.send(*[each for each in ranges if each[2] > each[1]])
        elif name == "resend":  # a rebuilt store answers from further back
            held = self.held(what)
            start = round(how_far * held.next_offset)
            self.send((what, start, self.lengths[what]))
        elif name == "rebalance":  # the new owner is behind, then catches up
            held = self.held(what).next_offset
            behind = round(how_far * held)
            if behind:
                self.send((what, 0, behind))
            if held < self.lengths[what]:
                self.send((what, held, self.lengths[what]))
        elif name == "fail":  # a run cannot be loaded: what is served stays
            self.views.set_incomplete("the published run cannot be loaded")
        elif name == "publish":
            before = self.seams[-1]
            seam = tuple(
                at + round(share * (length - at))
                for at, share, length in zip(before, what, self.lengths, strict=True)
            )
            self.seams.append(seam)
            self.publish(seam)
        elif name == "take back" and len(self.seams) > 1 + self.begins_without_a_run:
            self.seams.pop()
            self.publish(self.seams[-1])
        elif name == "merge":
            indexes = self.views.current().realtime.indexes
            if len(indexes) > 1:
                self.views.merge(indexes, merged(indexes, SCRATCH))
        elif name == "restart":
            self.views, self.before = Views(), None
            self.begin()

    def distinct_events(self):
        """The oracle: one list of everything that any layer holds, in merged order."""
        found = []
        for part, (topic, number) in enumerate(PARTITIONS):
            end = self.held(part).next_offset
            for record in self.records[part]:
                source = "batch" if record["offset"] < self.seams[-1][part] else "realtime"
                if source == "batch":
                    record = self.judged(part, record)
                if record["kind"] == RecordKind.EVENT and record["offset"] < end:
                    found.append({**record, "topic": topic, "partition": number, "source": source})
        found.sort(key=lambda e: (-e["timestamp"], e["topic"], e["partition"], -e["offset"]))
        return found


def matches(event, wanted):
    threat, score = event["threat_score"], event["anomaly_score"]
    return (
        wanted.user in (None, event["user"])
        and wanted.event_type in (None, event["event_type"])
        and wanted.status in (None, event["status"])
        and wanted.source_ip in (None, event["source_ip"])
        and (wanted.start_time is None or event["timestamp"] >= wanted.start_time)
        and (wanted.end_time is None or event["timestamp"] < wanted.end_time)
        and (wanted.min_threat is None or (threat is not None and threat >= wanted.min_threat))
        and (wanted.max_threat is None or (threat is not None and threat <= wanted.max_threat))
        and (not wanted.anomalies_only or event["is_anomaly"])
        and (wanted.min_anomaly_score is None or score >= wanted.min_anomaly_score)
    )


def ids(found):
    keys = [row.key for row in found.items]
    return [(key.timestamp, key.stream, key.offset) for key in keys]


def identity(event):
    return (
        event["timestamp"], stream_code(event["topic"], event["partition"]), event["offset"],
    )  # fmt: skip


def pages(world, wanted, limit, between=lambda: None):
    after, found = None, []
    while True:
        page = event_page(world.views.current(), wanted, after, limit)
        found += ids(page)
        if not page.more:
            return found
        after = page.items[-1].key
        between()


@LONG
@given(log=logs, steps=operations, wanted=filters, limit=st.integers(1, 7), no_run=st.booleans())
def test_every_answer_is_that_of_one_list(log, steps, wanted, limit, no_run):
    world = World(log, begins_without_a_run=no_run)
    for step in steps:
        world.apply(step)
    truth = world.distinct_events()
    expected = [event for event in truth if matches(event, wanted)]
    snapshot = world.views.current()

    assert pages(world, wanted, limit) == [identity(event) for event in expected]
    first = event_page(snapshot, wanted, None, 100)
    assert [row.source for row in first.items] == [event["source"] for event in expected]
    counted = count(snapshot, wanted)
    assert counted.count == len(expected)
    assert counted.batch == sum(event["source"] == "batch" for event in expected)
    check_summary(world, truth)
    firsts = {}
    for event in sorted(truth, key=lambda each: each["offset"]):
        firsts.setdefault(event["event_id"], event)
    for event_id, event in firsts.items():
        row = event_by_id(snapshot, event_id)
        assert (row.key.timestamp, row.key.stream, row.key.offset) == identity(event)
    assert event_by_id(snapshot, "no such id") is None
    check_alerts(world, truth)
    check_users(world, truth)
    check_verdicts(world, truth)
    check_page(world, truth)
    check_accounts(world)


def check_users(world, truth):
    highest = {}
    for event in truth:
        if event["is_anomaly"] and event["source"] == "realtime":
            user = event["user"]
            highest[user] = max(highest.get(user, 0.0), event["anomaly_score"])
    snapshot = world.views.current()
    found = {each.user: each for each in ranked(snapshot, NO_CASES)}
    of_run = {event["user"] for event in truth if event["source"] == "batch"}
    with_alerts = {event["user"] for event in truth if event["is_anomaly"]}
    assert found.keys() == of_run | with_alerts
    for user, each in found.items():
        assert each.realtime_score == highest.get(user, 0.0)
        assert each == risk_of(snapshot, NO_CASES, user)


def check_verdicts(world, truth):
    """`/api/training-data`: the users of the run that is served, and of no other."""
    users = world.views.current().batch.users
    judged = [event for event in truth if event["source"] == "batch"]
    anomalous = {event["user"] for event in judged if event["is_anomaly"]}
    assert set(users.names()) == {event["user"] for event in judged}
    assert {each.user for each in users.anomalous(0, 10)} == anomalous
    for user in users.names():
        verdict = users.get(user)
        assert (verdict.is_anomaly, verdict.run_id) == (
            user in anomalous, world.views.current().batch.run_id,
        )  # fmt: skip


class Still:
    """A tail in sync, and nobody's work on alerts: what a user's page asks besides the views."""

    cases = NO_CASES
    tail = SimpleNamespace(freshness_seconds=lambda: 0.0)


def check_page(world, truth):
    """`/api/users/{user}`: counts, profile, anomalies and timeline of one user."""
    page = user_page(Still, world.views.current(), "alice")
    events = [event for event in truth if event["user"] == "alice"]
    anomalous = [event["event_id"] for event in events if event["is_anomaly"]]
    in_batch = sum(event["source"] == "batch" for event in events)
    assert page["events"] == {
        "count": len(events), "batch": in_batch, "realtime": len(events) - in_batch,
    }  # fmt: skip
    assert page["profile"]["events"] == len(events) - len(anomalous)
    assert [each["event_id"] for each in page["anomalies"]] == anomalous[:10]
    told = [each for each in page["timeline"] if each["kind"] != "alert"]
    expected = [(each["event_id"], each["source"]) for each in events]
    times = [each["timestamp"] for each in page["timeline"]]
    assert [(each["id"], each["source"]) for each in told] == expected[: len(told)]
    assert len(page["timeline"]) == min(50, len(events) + min(10, len(anomalous)))
    assert times == sorted(times, reverse=True)


def check_summary(world, truth):
    totals = summary(world.views.current(), 0)
    threats = [e["threat_score"] for e in truth if e["threat_score"] is not None]
    assert totals.totalEvents == len(truth)
    assert totals.totalAnomalies == sum(event["is_anomaly"] for event in truth)
    assert totals.highThreatEvents == sum(threat >= 0.7 for threat in threats)
    mean = sum(threats) / len(threats) if threats else 0.0
    assert abs(totals.averageThreatScore - mean) < 1e-9
    realtime = sum(event["source"] == "realtime" for event in truth)
    assert totals.realtimeEvents == realtime


def check_alerts(world, truth):
    expected = [
        (event["timestamp"], event["offset"], event["source"])
        for event in truth
        if event["is_anomaly"] and event["user"] == "alice"
    ]
    found, after = [], None
    while True:
        page = alert_page(world.views.current(), AlertFilter(user="alice"), after, 2)
        found += [(e.record["timestamp"], e.offset, source) for e, source in page.items]
        if not page.more:
            break
        after = page.items[-1][0].order
    assert found == expected
    raised = [event for event in truth if event["is_anomaly"]]
    late = [event for event in raised if event["timestamp"] >= START_MS + 3]
    for wanted, events in (
        (AlertFilter(), raised),
        (AlertFilter(user="bob"), [event for event in raised if event["user"] == "bob"]),
        (AlertFilter(start_time=START_MS + 3), late),
    ):
        counted = alert_count(world.views.current(), wanted)
        assert counted.count == len(events)
        assert counted.batch == sum(event["source"] == "batch" for event in events)


def check_accounts(world):
    positions = {}
    for part, coordinates in enumerate(PARTITIONS):
        end = world.held(part).next_offset
        read = sum(record["offset"] < end for record in world.records[part])
        positions[stream_code(*coordinates)] = Position(0, end, end - read)
    account = consistency(world.views.current(), positions)
    assert (account.missing, account.double) == (0, 0)


@PROFILE
@given(log=logs, steps=operations, later=operations, wanted=filters, limit=st.integers(1, 3))
def test_pages_hold_every_event_once_while_the_views_change(log, steps, later, wanted, limit):
    world = World(log)
    for step in steps:
        world.apply(step)
    # What was there at the start stays, but for a repetition that only a run knows: it takes it
    # out. A restart or a run taken back loses rows until they have been tailed again, and says so.
    remaining = [step for step in later if step[0] not in ("restart", "take back")]
    at_start = [identity(e) for e in world.distinct_events() if matches(e, wanted)]

    found = pages(world, wanted, limit, lambda: remaining and world.apply(remaining.pop()))

    assert len(set(found)) == len(found)
    at_end = {identity(event) for event in world.distinct_events()}
    stayed = [each for each in at_start if each in at_end]
    assert [each for each in found if each in set(stayed)] == stayed


@PROFILE
@given(log=logs, steps=operations, later=operations, wanted=filters)
def test_a_snapshot_never_changes(log, steps, later, wanted):
    world = World(log)
    for step in steps:
        world.apply(step)
    snapshot = world.views.current()
    before = ids(event_page(snapshot, wanted, None, 100)), count(snapshot, wanted)

    for step in later:
        world.apply(step)

    assert (ids(event_page(snapshot, wanted, None, 100)), count(snapshot, wanted)) == before


def injected(records, next_offset):
    """An account of a realtime view that holds these records of a partition."""
    views = Views()
    views.publish(BatchView())
    stream = stream_code("security-events", 0)
    views.open(stream, 0)
    views.append([Segment(stream, 0, next_offset, segment_table(records))])
    return consistency(views.current(), {stream: Position(0, next_offset, 0)})


def test_a_hole_shows_as_missing():
    account = injected([event_record(0), event_record(2)], 3)

    assert (account.missing, account.double) == (1, 0)


def test_a_row_held_twice_shows_as_double():
    account = injected([event_record(0), event_record(1), event_record(1)], 2)

    assert (account.missing, account.double) == (0, 1)


def test_a_hole_and_a_double_do_not_cancel_out():
    account = injected([event_record(0), event_record(1), event_record(1)], 3)

    assert (account.missing, account.double) == (1, 1)


def test_large_indexes_answer_by_posting_lists():
    rows = [
        event_record(n, user=f"user{n % 50}", is_anomaly=n % 97 == 0, anomaly_score=0.9)
        for n in range(20_000)
    ]
    index = EventIndex.build(segment_table(rows), stream_code("user-events", 0), Interners())

    wanted = EventFilter(user="user7", anomalies_only=True)

    expected = [r["offset"] for r in rows if r["user"] == "user7" and r["is_anomaly"]][::-1]
    found = [index.key(at).offset for at in index.select(wanted, None, 1000).tolist()]
    assert found == expected
    assert index.count(EventFilter(user="user7")) == 400
