"""The steps of a commit, crashed between and inside, in thousands of histories.

The loop, publisher and stores are the real ones; the clients are scripted: a log of forty-odd
offsets, and a broker that acknowledges when told to. A crash keeps the files as they are at that
instant and drops the process, like SIGKILL does; records that were sent may have arrived or not.
Every history ends as one without any disturbance: rows, scores, alerts, accounting, detection
state to the byte, each alert published at least once and always with the same bytes.
"""

import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from speed_layer import consumer, publisher
from speed_layer.consumer import SpeedLayer
from speed_layer.fault_testing import STEPS, around
from speed_layer.kafka import Polled
from speed_layer.metrics import Metrics
from speed_layer.settings import Settings
from speed_layer.status import Status
from speed_layer.testing import canonical

TOPIC = "security-events"
KEY = (TOPIC, 0)
START = 1_700_000_000_000
EXAMPLES = 3_000 if os.environ.get("FAULTS_REPORT") else 80
MEMORY = Path("/dev/shm")  # files there cost no disk
SETTINGS = Settings(snapshot_events=7)
GAP = "a transaction marker, or an aborted record"


class Crash(BaseException):
    """The process is gone."""


def failed_login(number, **changes):
    event = {"event_id": f"e{number}", "timestamp": START + number * 1000, "user": "ada"}
    event |= {"event_type": "auth_attempt", "status": "failed", "source_ip": "10.0.0.1"}
    return json.dumps(event | changes).encode()


@cache
def log():
    """Return what each offset holds; alerts arise from the failed logins of three users."""
    values = []
    for number in range(40):
        late = {"timestamp": START + (number - 20) * 1000} if number % 7 == 0 else {}
        values.append(failed_login(number, user=("ada", "ben", "eve")[number % 3], **late))
    values[5:5] = [GAP, b"no json", failed_login(3)]
    values[20:20] = [GAP, GAP, b"", failed_login(30), failed_login(2)]
    return [*values, GAP]


class Message:
    """A record of the scripted log."""

    def __init__(self, offset):
        self._offset = offset

    def error(self):
        return None

    def topic(self):
        return TOPIC

    def partition(self):
        return 0

    def offset(self):
        return self._offset

    def key(self):
        return None

    def value(self):
        return log()[self._offset]

    def timestamp(self):
        return 1, START + self._offset


class ScriptedConsumer:
    """Knows where it fetches; ``deliver`` is what ``consume`` would return."""

    def __init__(self, _):
        self.next = None
        self.committed = 0

    def deliver(self, count):
        polled = Polled()
        if self.next is None:
            return polled
        while self.next < len(log()) and count > 0:
            if log()[self.next] is not GAP:
                polled.messages[KEY].append(Message(self.next))
                count -= 1
            self.next += 1
        if self.next == len(log()):
            polled.ends[KEY] = self.next
        return polled

    def incremental_assign(self, partitions):
        for partition in partitions:
            self.next = partition.offset

    def incremental_unassign(self, partitions):
        self.next = None

    def seek(self, partition):
        self.next = partition.offset

    def pause(self, partitions):
        pass

    def resume(self, partitions):
        pass

    def get_watermark_offsets(self, partition, timeout=0, cached=False):
        return 0, len(log())

    def commit(self, offsets, asynchronous):
        self.committed = offsets[0].offset


class Broker:
    """What arrived of what was sent, and is sent and not acknowledged yet."""

    def __init__(self):
        self.arrived = []
        self.in_flight = []
        self.due = []

    def arrive(self, count):
        """Write the first ``count`` records in flight; returns their callbacks."""
        now, self.in_flight = self.in_flight[:count], self.in_flight[count:]
        self.arrived += [(topic, value) for topic, value, _ in now]
        return [callback for *_, callback in now]

    def acknowledge(self, count):
        self.due += self.arrive(count)


class ScriptedProducer:
    """Sends to a ``Broker`` that acknowledges when it is told to, or somebody waits for it."""

    def __init__(self, broker):
        self.broker = broker

    def produce(self, topic, key, value, headers, on_delivery):
        self.broker.in_flight.append((topic, value, on_delivery))

    def poll(self, timeout):
        if timeout:
            self.broker.acknowledge(len(self.broker.in_flight))
        due, self.broker.due = self.broker.due, []
        for callback in due:
            callback(None, None)


class Life:
    """One process: the real loop over scripted clients, driven step by step."""

    def __init__(self, folder, broker):
        self.folder = folder
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(consumer, "Consumer", ScriptedConsumer)
            patch.setattr(publisher, "Producer", lambda _: ScriptedProducer(broker))
            paths = {"store_dir": folder, "lake_dir": folder / "lake"}
            made = SETTINGS.model_copy(update=paths)
            self.layer = SpeedLayer(made, Status("simulated"), Metrics())
        self.assign()
        self.retry()

    def assign(self):
        self.layer._on_assign(None, [consumer.TopicPartition(*KEY)])

    def revoke(self):
        self.layer._on_revoke(None, [consumer.TopicPartition(*KEY)])

    @property
    def slot(self):
        return self.layer._slots[KEY]

    def consume(self, count):
        self.layer._take(self.layer._consumer.deliver(count))

    def retry(self):
        self.slot.not_before = 0
        self.layer._retry()

    def publish(self):
        self.layer._publish()

    def commit(self):
        self.layer._housekeeping.commit_offsets(self.layer._slots, wait=False)

    def limit(self, pages):
        """Bound the store's size: 0 leaves no room for anything new."""
        if self.slot.partition is not None:
            connection = self.slot.partition.store._connection
            connection.execute(f"PRAGMA max_page_count={pages or 1}")

    def abandon(self):
        """Free what a killed process would not hold any more, without a trace in its files."""
        slot = self.layer._slots.get(KEY)
        if slot is not None and slot.partition is not None:
            slot.partition.store._connection.execute("PRAGMA synchronous=OFF")
            slot.partition.close()


class CommitSteps(RuleBasedStateMachine):
    """Drives a ``Life`` and kills it."""

    @initialize()
    def begin(self):
        self.root = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.lives = 0
        broker = Broker()
        self.life = Life(self.root / "0", broker)
        self.broker = broker

    @rule(count=st.integers(1, 9))
    def consume(self, count):
        self.life.consume(count)

    @rule()
    def retry(self):
        self.life.retry()

    @rule()
    def publish(self):
        self.life.publish()

    @rule(count=st.integers(1, 5))
    def acknowledge(self, count):
        self.broker.acknowledge(count)

    @rule()
    def commit(self):
        self.life.commit()

    @rule()
    def disk_fills(self):
        self.life.limit(0)

    @rule()
    def disk_has_room(self):
        self.life.limit(1_000_000)

    @rule()
    def rebalance(self):
        self.life.revoke()
        self.life.assign()

    @rule(arrived=st.integers(0, 5))
    def crash(self, arrived):
        self.restart(self.copied(), arrived)

    @rule(
        step=st.sampled_from(sorted(STEPS)),
        passing=st.integers(1, 3),
        count=st.integers(1, 9),
        arrived=st.integers(0, 5),
    )
    def crash_at(self, step, passing, count, arrived):
        """Crash at a step of one turn of the loop, with a rebalance if it has that step."""
        kept, left = [], [passing]

        def crash():
            left[0] -= 1
            if left[0] == 0:
                kept.append(self.copied())
                raise Crash

        owner, name, after = STEPS[step]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, getattr(owner, name))  # so that it is undone
            around(owner, name, **{"after" if after else "before": crash})
            try:
                self.turn(count)
                if step in ("revoking", "releasing", "assigned"):
                    self.rebalance()
            except Crash:
                pass
        if kept:
            self.restart(kept[0], arrived)

    def turn(self, count):
        self.life.retry()
        self.life.consume(count)
        self.life.publish()
        self.broker.acknowledge(count)
        self.life.publish()
        self.life.commit()

    def copied(self):
        """Keep the files as they are now: all that a killed process leaves."""
        self.lives += 1
        folder = self.root / str(self.lives)
        if self.life.folder.exists():
            shutil.copytree(self.life.folder, folder)
        return folder

    def restart(self, folder, arrived):
        self.broker.arrive(arrived)
        self.broker.in_flight.clear()
        self.broker.due.clear()
        self.life.abandon()
        shutil.rmtree(self.life.folder, ignore_errors=True)
        self.life = Life(folder, self.broker)

    @invariant()
    def published_alerts_are_those_of_the_undisturbed_run(self):
        if hasattr(self, "broker"):
            assert set(self.broker.arrived) <= undisturbed()[1]

    def teardown(self):
        if not hasattr(self, "broker"):
            return
        try:
            stores, published = finished(self.life, self.broker)
            expected = undisturbed()
            for piece, value in expected[0].items():
                assert stores[piece] == value, piece
            assert published == expected[1]
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def finished(life, broker):
    """Let a life store and publish everything; returns its store and what arrived."""
    life.limit(1_000_000)
    for _ in range(4):  # the first may only open, or store what was pending
        life.retry()
        life.consume(len(log()))
    life.publish()
    broker.acknowledge(len(broker.in_flight))
    life.publish()
    life.revoke()
    return canonical(life.folder, *KEY), set(broker.arrived)


@cache
def undisturbed():
    folder = Path(tempfile.mkdtemp())
    broker = Broker()
    try:
        found = finished(Life(folder / "store", broker), broker)
    finally:
        shutil.rmtree(folder)
    alerts = [json.loads(value) for topic, value in found[1] if topic == "security-alerts"]
    assert len(alerts) == len({alert["alertId"] for alert in alerts}) >= 3
    position = found[0]["position"]
    assert (position.rows, position.duplicates, position.dead_letters) == (40, 3, 2)
    assert position.skipped == log().count(GAP) == 4
    return found


TestCommitSteps = CommitSteps.TestCase
TestCommitSteps.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize=EXAMPLES < 1_000,
    suppress_health_check=list(HealthCheck),
)
