"""A loop that stands still without a reason ends the process; others may take their time."""

import subprocess
import sys

import pytest

from speed_layer.status import Status
from speed_layer.watchdog import EXIT_STATUS, Watchdog

LOOKS = 200


@pytest.fixture
def status():
    found = Status("test")
    found.set_healthy()
    return found


@pytest.fixture
def ends():
    return []


def test_a_loop_that_stands_still_ends_the_process(status, ends):
    watchdog = Watchdog(status, ends.append)

    for _ in range(LOOKS):
        if not ends:
            watchdog.look()

    assert ends == ["the loop has not turned for 120 s"]


def test_a_loop_that_turns_now_and_then_does_not(status, ends):
    watchdog = Watchdog(status, ends.append)

    for look in range(LOOKS):
        status.turns += look % 20 == 0
        watchdog.look()

    assert ends == []


@pytest.mark.parametrize("kind", ["starting", "paused"])
def test_a_loop_that_said_why_it_waits_does_not(status, ends, kind):
    watchdog = Watchdog(status, ends.append)
    status.set_problem(kind, "the store is rebuilt")

    for _ in range(LOOKS):
        watchdog.look()

    assert ends == []


def test_the_process_says_where_it_stood_and_exits():
    hangs = """
import threading
from speed_layer import watchdog
from speed_layer.status import Status

def stands_still():
    threading.Event().wait()

watchdog._LOOK_SECONDS = 0.01
status = Status("test")
status.set_healthy()
watchdog.Watchdog(status).start()
stands_still()
"""
    ended = subprocess.run(
        [sys.executable, "-c", hangs], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == EXIT_STATUS
    assert "the loop has not turned" in ended.stderr
    assert "in stands_still" in ended.stderr
