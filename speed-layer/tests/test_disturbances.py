"""Whatever happens on the way, the store ends up as an undisturbed run leaves it.

Kills are in ``test_faults``.
"""

import os
import signal
import sqlite3
import sys

import pytest

from speed_layer.testing import wait_for
from speed_layer.watchdog import EXIT_STATUS

pytestmark = pytest.mark.integration

TOPIC = "security-events"


def stored(process):
    return sum(process.next_offsets().values())


def test_workers_join_and_leave(new_fork, hard_topic, same_as_reference):
    first, second = new_fork(), new_fork()
    first.start()
    wait_for("the first to begin", lambda: stored(first) > 0)
    second.start()
    wait_for("one partition each", lambda: len(second.next_offsets()) == 1, every=0.05)
    assert first.stop() == 0
    wait_for("the second to own both", lambda: len(second.next_offsets()) == 2)
    second.wait_until(hard_topic.ends)
    assert second.stop() == 0

    same_as_reference()


def test_locked_store_pauses_and_loses_nothing(new_fork, hard_topic, same_as_reference, tmp_path):
    process = new_fork().start()
    wait_for("progress", lambda: stored(process) > 0)
    blocker = sqlite3.connect(tmp_path / "store" / TOPIC / "0.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    health = wait_for(
        "the pause", lambda: (a := process.json("/health")).get("status") == "paused" and a
    )
    blocker.execute("ROLLBACK")
    blocker.close()
    process.wait_until(hard_topic.ends)
    wait_for("health", lambda: process.request("/health")[0] == 200)
    metrics = process.request("/metrics")[2].decode()
    assert process.stop() == 0

    assert "locked" in health["reason"]
    assert "streamguard_storage_errors_total 0.0" not in metrics
    same_as_reference()


def test_full_store_pauses_and_loses_nothing(new_fork, hard_topic, same_as_reference):
    small = new_fork(SPEED_STORE_MAX_BYTES=str(600_000)).start()
    health = wait_for(
        "the pause", lambda: (a := small.json("/health")).get("status") == "paused" and a
    )
    assert "full" in health["reason"]
    assert small.stop() == 0

    with new_fork() as process:
        process.wait_until(hard_topic.ends)
        assert process.stop() == 0
    same_as_reference()


def test_damaged_store_is_set_aside_and_rebuilt(new_fork, hard_topic, same_as_reference, tmp_path):
    process = new_fork().start()
    wait_for("progress", lambda: stored(process) > 2000)
    process.kill()
    file = tmp_path / "store" / TOPIC / "0.sqlite"
    file.write_bytes(b"garbage " * 1000)
    file.with_name("0.sqlite-wal").unlink(missing_ok=True)
    process.start()
    process.wait_until(hard_topic.ends)
    assert process.stop() == 0

    assert "set aside" in process.log()
    assert list(file.parent.glob("0.sqlite.damaged-*"))
    same_as_reference()


def test_broker_goes_away_until_the_session_is_lost(
    new_fork, broker, hard_topic, same_as_reference
):
    process = new_fork().start()
    wait_for("progress", lambda: stored(process) > 0, every=0.02)
    broker.kill()
    wait_for("the pause", lambda: process.json("/health").get("status") == "paused")
    wait_for("the loss of the session", lambda: "revoked" in process.log())
    health = process.json("/health")
    broker.start()
    process.wait_until(hard_topic.ends)
    wait_for("health", lambda: process.request("/health")[0] == 200)
    assert process.stop() == 0

    assert health["status"] == "paused"
    assert health["reason"].startswith(f"broker at {broker.bootstrap_servers}: ")
    same_as_reference()


_IMPATIENT = """
import sys
from speed_layer import consumer
from speed_layer.__main__ import main

consumer._REJOIN_SECONDS = 0.0
sys.exit(main())
"""


def test_a_process_that_finds_no_way_back_to_its_group_ends_and_the_next_goes_on(
    new_worker, new_fork, broker, hard_topic, same_as_reference
):
    process = new_worker()
    process.command = [sys.executable, "-c", _IMPATIENT]
    process.start()
    wait_for("progress", lambda: stored(process) > 0, every=0.02)
    os.kill(broker.pid, signal.SIGSTOP)  # no connection breaks: there are just no answers
    try:
        wait_for("the loss of the session", lambda: "revoked" in process.log())
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert process.process.wait(60) == EXIT_STATUS
    assert "no way back to the group" in process.log()
    assert "in main" in process.log(), "where every thread stood"

    following = new_fork().start()
    following.wait_until(hard_topic.ends)
    assert following.stop() == 0
    same_as_reference()


def test_broker_that_is_down_at_start_is_waited_for(
    new_fork, broker, hard_topic, same_as_reference
):
    broker.kill()
    process = new_fork().start()
    health = wait_for(
        "the reason", lambda: "broker" in (a := process.json("/health")).get("reason", "") and a
    )
    assert process.stop() == 0
    process.start()
    broker.start()
    process.wait_until(hard_topic.ends)
    wait_for("health", lambda: process.request("/health")[0] == 200)
    assert process.stop() == 0

    assert health["status"] == "starting"
    assert health["reason"].startswith(f"broker at {broker.bootstrap_servers}: ")
    assert "Kafka: " in process.log()
    same_as_reference()
