"""Whole stacks of tiny servers: real supervisor, real processes, real signals."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from local_stack import services
from local_stack.errors import PortTakenError, ServiceError
from local_stack.processes import ProcessId
from local_stack.stack import Stack
from local_stack.state import ServiceState
from local_stack.status import print_logs, status_table, total_memory_bytes

pytestmark = pytest.mark.integration

Up = Callable[[Stack], None]
SILENT = "import time; print('waiting for a tool that is not there', flush=True); time.sleep(600)"
CRASHING = "import sys; print('no such model', flush=True); sys.exit(3)"
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""


def processes_of(stack: Stack) -> list[ProcessId]:
    state = stack.state()
    assert state is not None
    return [state.supervisor, *state.processes()]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)  # poll: other processes' states come without a signal


def test_up_returns_when_every_service_is_ready_and_down_leaves_nothing(dummies, up: Up) -> None:
    stack = dummies.stack()
    up(stack)
    assert [service.is_ready() for service in stack.services] == [None] * 3
    processes = processes_of(stack)
    assert stack.down()
    assert [process for process in processes if process.group()] == []
    assert not stack.down()


def test_up_on_a_running_stack_says_so_and_keeps_it(dummies, up: Up, console: Console) -> None:
    stack = dummies.stack()
    up(stack)
    before = processes_of(stack)
    up(stack)
    assert "running already" in console.export_text()
    assert processes_of(stack) == before


def test_the_first_service_is_ready_before_any_other_starts(dummies, console: Console) -> None:
    stack = dummies.stack()
    seen = []

    def note() -> None:
        seen.extend(record.state for record in stack.state().services)

    stack.up(console, note)
    assert seen == [ServiceState.RUNNING, ServiceState.WAITING, ServiceState.WAITING]


def test_a_killed_service_is_started_again_and_status_says_so(dummies, up: Up) -> None:
    stack = dummies.stack()
    up(stack)
    killed = stack.kill("second")
    wait_for(lambda: stack.record("second").state is ServiceState.BACKOFF, "back-off")
    assert stack.record("second").last_exit == -signal.SIGKILL
    wait_for(lambda: stack.record("second").state is ServiceState.RUNNING, "a new start")
    record = stack.record("second")
    assert record.process != killed
    assert record.restarts == 1
    assert "exited with -9" in stack.layout.log_file("second").read_text()


def test_restart_gives_a_new_process_without_back_off(dummies, up: Up) -> None:
    stack = dummies.stack()
    up(stack)
    before = stack.record("third").process
    stack.ask("restart", "third")
    after = stack.record("third")
    assert after.process != before
    assert after.last_exit == -signal.SIGTERM


def test_a_stopped_service_stays_stopped_until_it_is_started(dummies, up: Up) -> None:
    stack = dummies.stack()
    up(stack)
    stack.ask("stop", "second")
    assert stack.services[1].is_ready() is not None
    stack.ask("start", "second")
    wait_for(lambda: stack.services[1].is_ready() is None, "second answers again")


def test_a_service_that_is_never_ready_is_named_with_its_last_log_lines(dummies, up: Up) -> None:
    stack = dummies.stack(third=SILENT, ready_timeout_seconds=4)
    with pytest.raises(ServiceError) as caught:
        up(stack)
    assert "third is not ready after 4 s" in str(caught.value)
    assert "waiting for a tool that is not there" in str(caught.value)


def test_a_service_that_keeps_exiting_is_named_without_waiting_for_the_time_out(
    dummies, up: Up
) -> None:
    stack = dummies.stack(third=CRASHING, ready_timeout_seconds=120)
    with pytest.raises(ServiceError, match=r"third keeps exiting(.|\n)*no such model"):
        up(stack)


def test_a_service_that_ends_by_itself_without_fault_stays_stopped(dummies, up: Up) -> None:
    stack = dummies.stack(third="print('told to stop')")
    with pytest.raises(ServiceError, match=r"third has stopped(.|\n)*told to stop"):
        up(stack)
    assert stack.record("third").state is ServiceState.STOPPED
    assert stack.record("third").restarts == 0


def test_down_ends_a_service_that_ignores_sigterm_and_what_it_started(dummies, up: Up) -> None:
    stack = dummies.stack(third=STUBBORN, ready_timeout_seconds=3)
    with pytest.raises(ServiceError):
        up(stack)
    third = stack.record("third").process
    assert third is not None
    wait_for(lambda: len(third.group()) == 2, "the child of the third")
    stack.down()
    assert third.group() == []


def test_down_after_the_supervisor_was_killed_leaves_nothing(dummies, up: Up) -> None:
    stack = dummies.stack()
    up(stack)
    supervisor, *processes = processes_of(stack)
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_for(lambda: not supervisor.is_alive(), "end of the supervisor")
    assert all(process.is_alive() for process in processes)
    assert stack.down()
    assert [process for process in processes if process.group()] == []


def test_up_after_the_supervisor_was_killed_replaces_what_it_left(
    dummies, up: Up, console: Console
) -> None:
    stack = dummies.stack()
    up(stack)
    supervisor, *processes = processes_of(stack)
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_for(lambda: not supervisor.is_alive(), "end of the supervisor")
    up(stack)
    assert "left without a supervisor" in console.export_text()
    assert not any(process.is_alive() for process in processes)


def test_two_stacks_run_side_by_side(dummies, up: Up) -> None:
    left, right = dummies.stack(), dummies.stack()
    up(left)
    up(right)
    left.down()
    assert [service.is_ready() for service in right.services] == [None] * 3


def test_a_taken_port_is_reported_before_anything_starts(dummies, up: Up) -> None:
    running, late = dummies.stack(), dummies.stack()
    up(running)
    taken = running.services[1]
    object.__setattr__(late.services[1], "ports", {"STACK_SECOND_PORT": taken.port})
    with pytest.raises(PortTakenError) as caught:
        up(late)
    message = str(caught.value)
    assert f"port {taken.port} (second) is taken by process" in message
    assert "set STACK_SECOND_PORT" in message
    assert late.state() is None


def test_a_port_given_out_twice_is_reported() -> None:
    twice = [
        services.Service("a", lambda: None, {"STACK_A_PORT": 15_999}),
        services.Service("b", lambda: None, {"STACK_B_PORT": 15_999}),
    ]
    with pytest.raises(PortTakenError, match="STACK_B_PORT and STACK_A_PORT are both 15999"):
        services.check_ports("127.0.0.1", twice)


def test_status_and_logs_show_every_service(dummies, up: Up, console: Console) -> None:
    stack = dummies.stack()
    up(stack)
    console.print(status_table(stack))
    print_logs(stack, ["first", "second"], 5, follow=False, console=console)
    text = console.export_text()
    assert text.count(" ready ") >= 3
    assert "second | serving on" in text
    assert total_memory_bytes(stack) > 1_000_000


@pytest.mark.parametrize("verb", ["restart", "stop"])
def test_an_unknown_service_is_named(dummies, up: Up, verb: str) -> None:
    stack = dummies.stack()
    with pytest.raises(ServiceError, match="not running"):
        stack.ask(verb, "speed")
    up(stack)
    with pytest.raises(ServiceError, match="no service 'nobody'; there are first, second, third"):
        stack.ask(verb, "nobody")


def test_logs_are_rotated_by_size(tmp_path: Path) -> None:
    from local_stack.service_process import rotate

    log_file = tmp_path / "speed.log"
    for text in ("one", "two", "three", "four"):
        log_file.write_text(text)
        rotate(log_file, max_bytes=3, kept=2)
    assert not log_file.exists()
    assert (tmp_path / "speed.log.1").read_text() == "four"
    assert (tmp_path / "speed.log.2").read_text() == "three"
    assert not (tmp_path / "speed.log.3").exists()
