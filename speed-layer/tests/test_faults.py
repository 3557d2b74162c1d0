"""Real kills at random instants and chosen steps, in numbers.

A round begins with empty stores and ends when everything is stored; in between, processes live
shortly. Afterwards the stores are compared with those of an undisturbed run: rows with every
column and score, alerts, accounting, outbox, and the detection state, to the byte. Only the
compressed segments themselves differ, since micro-batches are cut elsewhere. What a process
stored is never rewritten, so that a difference made by any kill is still there at the end of its
round. The topics of alerts and dead letters are read as well.

``make test`` kills at least 20 times, ``make test-faults`` (``FAULTS_REPORT`` names the file for
its verdict) at least 200 times.
"""

import json
import os
import random
import re
import shutil
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from speed_layer.fault_testing import Fault, small_disk
from speed_layer.testing import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

TOPIC = "security-events"
REPORT = os.environ.get("FAULTS_REPORT")
LIFE_SECONDS = 20.0
SETTINGS = {"SPEED_BATCH_EVENTS": "100", "SPEED_SNAPSHOT_EVENTS": "1000"}

IN_A_COMMIT = [
    "consumed",
    "processed",
    "in-transaction",
    "in-snapshot",
    "stored",
    "acknowledged",
    "forgotten",
]
AT_START = ["opening", "replaying", "opened", "assigned"]
IN_A_REBALANCE = ["assigned", "revoking", "releasing", "opened"]


@dataclass
class Tally:
    """Kills and differences of all rounds."""

    kills: int = 0
    differences: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    tally = Tally()
    yield tally
    if REPORT:  # a round that did not come to its end, or a scripted history, counts as well
        differences = max(len(tally.differences), request.session.testsfailed)
        verdict = {"kills": tally.kills, "differences": differences}
        Path(REPORT).write_text(json.dumps(verdict) + "\n")


@pytest.fixture
def compare(same_as_reference, reference, read_topic, tally) -> Callable[[], None]:
    """Compare stores and published records with the undisturbed run's."""
    before = {
        topic: len(read_topic(topic)) for topic in ("security-alerts", f"{TOPIC}.dead-letter")
    }
    raised = {
        json.loads(body)["alert_id"]
        for stored in reference.stores.values()
        for *_, body in stored["alerts"]
    }

    def compare() -> None:
        same_as_reference()
        published = defaultdict(set)
        alerts = [message.value() for message in read_topic("security-alerts")]
        for value in alerts:
            published[json.loads(value)["alertId"]].add(value)
        ours = {json.loads(value)["alertId"] for value in alerts[before["security-alerts"] :]}
        letters = read_topic(f"{TOPIC}.dead-letter")[before[f"{TOPIC}.dead-letter"] :]
        assert ours == raised
        assert max(map(len, published.values())) == 1, "two alerts with one id"
        assert len({dict(letter.headers())["source-offset"] for letter in letters}) == 8

    def counted() -> None:
        try:
            compare()
        except AssertionError as error:
            tally.differences.append(str(error))
            raise

    return counted


def killed(process) -> int:
    """Kill a process that may have done so itself; nothing else may have ended it."""
    code = process.kill()
    assert code == -9, process.log()
    return 1


def wait_until_open(process) -> None:
    wait_for("a partition", lambda: process.next_offsets() or process.ended(0), every=0.02)


def finish(new_fork, ends) -> None:
    """Let one process store the rest in peace."""
    process = new_fork(SPEED_CONSUMER_GROUP=f"end-{time.time_ns()}").start()
    process.wait_until(ends)
    assert process.stop() == 0, process.log()


def all_stored(process, ends) -> bool:
    found = process.next_offsets()
    return all(found.get(key, 0) >= end for key, end in ends.items())


@pytest.mark.parametrize("seed", range(6 if REPORT else 1))
def test_one_worker_is_killed_again_and_again(new_fork, hard_topic, compare, tally, tmp_path, seed):
    chance = random.Random(seed)
    steps = IN_A_COMMIT + AT_START
    for life in range(26 if REPORT else 14):
        # a group of its own: nobody waits until the last one's session ends
        process = new_fork(**SETTINGS, SPEED_CONSUMER_GROUP=f"{tmp_path.name}-{life}")
        if life % 3 == 2:
            live_and_be_killed(process, chance)
        else:
            step = chance.choice(steps)
            most = 2 if step in AT_START else 20
            process.fault = Fault(step, chance.randint(1, most))
            live_until_the_step(process, hard_topic.ends)
        tally.kills += killed(process)
    finish(new_fork, hard_topic.ends)
    compare()


def live_and_be_killed(process, chance) -> None:
    """Kill at a random instant from the very start on."""
    process.start()
    if chance.random() < 0.7:
        wait_until_open(process)
    time.sleep(chance.uniform(0, 0.3))  # the instant itself is what is tested


def live_until_the_step(process, ends) -> None:
    """Wait until it killed itself; a step that does not come is replaced by this instant."""
    process.start()
    deadline = time.monotonic() + LIFE_SECONDS
    while not process.ended(0.1) and time.monotonic() < deadline:
        if all_stored(process, ends):
            return


@pytest.mark.parametrize("workers", [2, 3] * 2 if REPORT else [3])
def test_workers_of_one_group_are_killed_while_others_join_and_leave(
    new_fork, hard_topic, compare, tally, workers
):
    chance = random.Random(workers)
    enough = tally.kills + (14 if REPORT else 4)

    def joined():
        process = new_fork(**SETTINGS, SPEED_SESSION_TIMEOUT_MS="6000")
        step = chance.choice(["", *IN_A_REBALANCE])
        process.fault = Fault(step, chance.randint(1, 3), slow_seconds=0.1 if REPORT else 0.02)
        return process.start()

    group = [joined() for _ in range(workers)]
    while tally.kills < enough:
        wait_for("work", lambda: any(p.next_offsets() for p in group) or dead(group), every=0.1)
        time.sleep(chance.uniform(0, 1))
        leaving = dead(group) or chance.choice(group)
        if chance.random() < 0.2:
            tally.kills += leaving.stop() == -9
        else:
            tally.kills += killed(leaving)
        group.remove(leaving)
        group.append(joined())
    for process in group:  # one that is to kill itself when it releases partitions does so
        tally.kills += process.stop() == -9
    finish(new_fork, hard_topic.ends)
    compare()


def dead(group):
    return next((process for process in group if process.ended(0)), None)


@pytest.mark.parametrize("seed", range(3 if REPORT else 1))
def test_kills_around_a_store_that_is_full_locked_or_cut(
    new_fork, hard_topic, compare, tally, tmp_path, seed
):
    chance = random.Random(seed)
    folder = tmp_path / "store" / TOPIC
    disturbances = ["none", "full", "locked", "cut", "cut-log"] * (2 if REPORT else 1)
    for life, disturbance in enumerate(disturbances):
        group = {"SPEED_CONSUMER_GROUP": f"{tmp_path.name}-{life}"}
        if disturbance == "full":
            size = (folder / "0.sqlite").stat().st_size
            group["SPEED_STORE_MAX_BYTES"] = str(size + 80_000)
        with closing(sqlite3.connect(folder / "0.sqlite" if life else ":memory:")) as other:
            other.isolation_level = None
            if disturbance == "locked":
                other.execute("BEGIN IMMEDIATE")
            process = new_fork(**SETTINGS, **group)
            process.fault = Fault(slow_seconds=0.01)
            process.start()
            wait_until_met(process, disturbance)
            time.sleep(chance.uniform(0, 0.3))
            tally.kills += killed(process)
        if disturbance.startswith("cut"):
            cut(folder / ("0.sqlite" if disturbance == "cut" else "0.sqlite-wal"), chance)
    finish(new_fork, hard_topic.ends)
    compare()


def wait_until_met(process, disturbance) -> None:
    """Wait until the process noticed what is wrong, or works if nothing is."""
    if disturbance in ("full", "locked"):
        wait_for("the problem", lambda: disturbance in process.log() or process.ended(0))
    else:
        wait_until_open(process)


def cut(file: Path, chance) -> None:
    size = file.stat().st_size
    os.truncate(file, chance.randrange(size // 2, size))


DISK_BYTES = 64_000_000


def test_kills_around_a_disk_that_is_full(new_fork, hard_topic, compare, tally, tmp_path):
    """A file system without room: the log beside the store cannot grow, nothing can be made."""
    store = tmp_path / "store"
    store.mkdir()
    chance = random.Random(5)
    try:
        with small_disk(store, DISK_BYTES) as disk:
            inside = Path(f"/proc/{disk}/root{store}")
            for life in range(8 if REPORT else 2):
                occupy(inside, free_bytes=chance.randint(0, 300_000))
                process = new_fork(**SETTINGS, SPEED_CONSUMER_GROUP=f"{tmp_path.name}-{life}")
                process.fault = Fault(disk=disk)
                process.start()
                wait_for("the problem", lambda p=process: NO_ROOM.search(p.log()))
                if life % 2:
                    occupy(inside, free_bytes=DISK_BYTES)
                    wait_for("an end of it", lambda p=process: p.request("/health")[0] == 200)
                tally.kills += killed(process)
            shutil.copytree(inside, store, dirs_exist_ok=True)
    except PermissionError as error:
        pytest.skip(f"no file system of one's own: {error}")
    (store / "ballast").unlink()
    finish(new_fork, hard_topic.ends)
    compare()


NO_ROOM = re.compile("disk is full|No space left on device|disk I/O error")


def occupy(folder: Path, free_bytes: int) -> None:
    """Leave so much room on a file system."""
    ballast = folder / "ballast"
    ballast.write_bytes(b"")
    room = os.statvfs(folder)
    ballast.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - free_bytes)))


@pytest.mark.skipif(not REPORT, reason="make test-faults; test_disturbances has one of each")
def test_kills_around_restarts_of_the_broker(
    new_fork, broker, hard_topic, compare, tally, tmp_path
):
    chance = random.Random(3)
    for life in range(4):
        process = new_fork(**SETTINGS, SPEED_CONSUMER_GROUP=f"{tmp_path.name}-{life}")
        process.fault = Fault(slow_seconds=0.02)
        process.start()
        wait_until_open(process)
        time.sleep(chance.uniform(0, 1))
        (broker.kill if life % 2 else broker.stop)()
        time.sleep(chance.uniform(0, 0.5))
        if life < 2:  # while there is no broker
            tally.kills += killed(process)
        broker.start()
        if life >= 2:  # when it has just come back
            time.sleep(chance.uniform(0, 1))
            tally.kills += killed(process)
    finish(new_fork, hard_topic.ends)
    compare()


def test_all_rounds_together_killed_as_often_as_promised(request, tally):
    """The last test of the module; means nothing when some of the rounds were left out."""
    chosen = {item.originalname for item in request.session.items if item.path == request.path}
    if chosen != {name for name in globals() if name.startswith("test_")}:
        pytest.skip("not the whole module")
    assert tally.kills >= (200 if REPORT else 20)
