"""The faults of ``make chaos``: each does its harm and returns when the harm is over."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Producer
from cut_network import Wire
from own_disk import roomy, shrunk
from running_system import Load, System

from contracts.topics import SECURITY_EVENTS
from local_stack.errors import ServiceError
from speed_layer.testing import wait_for

SERVICES = ("kafka", "speed-layer", "batch-layer", "serving-layer", "genai-assistant")
STAGES = ("ingestion", "detection", "models", "publication")
PAUSE_SECONDS = 10.0
BURST_SECONDS = 10.0
BURST = 10
SLOW_MICROSECONDS = 50_000
_ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
_RUN_SECONDS = 900
_FAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
             "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1")  # fmt: skip


class NotHereError(Exception):
    """The fault cannot be brought about here; the message says why."""


@dataclass(frozen=True)
class Scene:
    """What faults work on.

    Attributes:
        system: The running stack.
        load: What is produced meanwhile.
        wires: The network between services that may be cut, by "who to whom".
        store: The speed layer's folder.
        small_disk: Whether that folder is a file system of its own that may be filled.
    """

    system: System
    load: Load
    wires: dict[str, Wire]
    store: Path
    small_disk: bool


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    happens: Callable[[Scene], None]
    quick: bool = False
    """Part of the short run too."""


def faults() -> list[Fault]:
    """Return every fault, in the order they happen."""
    found = []
    for stage in STAGES:
        quick = stage == "detection"
        name = f"kill -9: batch-layer in the run's {stage}"
        found.append(Fault(name, partial(_kill_in_stage, stage), quick))
    for service in SERVICES:
        quick = service in {"kafka", "speed-layer", "serving-layer"}
        found.append(Fault(f"kill -9: {service}", partial(_kill, service), quick))
        found.append(Fault(f"{PAUSE_SECONDS:g} s of SIGSTOP: {service}", partial(_freeze, service)))
    found.append(Fault("restart: kafka", lambda scene: scene.system.stack.ask("restart", "kafka")))
    found += [
        *(
            Fault(f"{PAUSE_SECONDS:g} s of no network: {wire}", partial(_cut, wire))
            for wire in ("serving to speed", "serving to batch", "assistant to serving")
        ),
        Fault("disk full below the speed layer for 10 s", _fill_disk),
        Fault("slow disk below the speed layer: 50 ms a call for 10 s", _slow_disk),
        Fault("clock of the speed layer an hour ahead for 10 s and then an hour back", _clock),
        Fault("poisoned topic: 20,000 unreadable records", _poison, quick=True),
        Fault(f"burst: {BURST} times the load for {BURST_SECONDS:g} s", _burst, quick=True),
        Fault("power cut: every process at once", _power_cut),
    ]
    return found


def _kill(service: str, scene: Scene) -> None:
    scene.system.stack.kill(service)


def _freeze(service: str, scene: Scene) -> None:
    scene.system.signal(service, signal.SIGSTOP)
    time.sleep(PAUSE_SECONDS)
    scene.system.signal(service, signal.SIGCONT)


def _cut(wire: str, scene: Scene) -> None:
    scene.wires[wire].cut()
    time.sleep(PAUSE_SECONDS)
    scene.wires[wire].mend()


def _kill_in_stage(stage: str, scene: Scene) -> None:
    """Kill the batch layer as soon as a run says it is in the stage."""

    def met_or_over() -> str | None:
        run = _run(scene.system, run_id)
        met = (run.get("progress") or {}).get("stage") == stage
        return "met" if met else "over" if run["status"] in _ENDED else None

    # What killed runs have left is taken over before, beside little load: else each of these
    # faults would begin with a run of everything that came since the stack is up.
    usual, scene.load.rate.value = scene.load.rate.value, scene.load.rate.value // 10
    try:
        finish_run(scene.system)
    finally:  # the faults that follow promise the whole load
        scene.load.rate.value = usual
    for _ in range(3):  # a short stage may be over before it is seen
        run_id = start_run(scene.system)
        if wait_for(f"{stage} of a run", met_or_over, _RUN_SECONDS, every=0.02) == "met":
            scene.system.stack.kill("batch-layer")
            return
    raise NotHereError("the stage is over too soon to be met")


def start_run(system: System) -> str:
    """Start a security run as soon as no other one is under way; returns its id.

    Raises:
        TimeoutError: None began; says why the last attempt failed.
    """
    found: list[str] = []
    refused = ["another run is under way"]

    def started() -> bool:
        try:
            run_id = system.security_run()
        except httpx.HTTPError as error:
            refused.append(f"{type(error).__name__}: {error}")
        else:
            found.extend([run_id] if run_id else [])
        return bool(found)

    try:
        wait_for("a security run to begin", started, _RUN_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"{error}; {refused[-1]}") from error
    return found[0]


def finish_run(system: System) -> None:
    """Have a security run publish its view.

    Raises:
        RuntimeError: It failed.
    """
    run_id = start_run(system)
    wait_for(
        "the end of a security run", lambda: _run(system, run_id)["status"] in _ENDED, _RUN_SECONDS
    )
    run = _run(system, run_id)
    if run["status"] != "COMPLETED":
        raise RuntimeError(f"security run {run_id}: {json.dumps(run)[:500]}")


def _run(system: System, run_id: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = system.get("batch", f"/security/runs/{run_id}")
    except httpx.HTTPError:
        return {"status": "unknown"}
    return found


def _fill_disk(scene: Scene) -> None:
    """Leave the speed layer's file system no room, then all of it again."""
    if not scene.small_disk:
        raise NotHereError("no file system of one's own (unshare)")
    wait_for("a disk without room", lambda: shrunk(scene.store), 10)
    time.sleep(PAUSE_SECONDS)
    if not roomy(scene.store):
        raise RuntimeError("the disk cannot be given its room back")


def _slow_disk(scene: Scene) -> None:
    strace = shutil.which("strace")
    if strace is None:
        raise NotHereError("no strace")
    process = scene.system.stack.record("speed-layer").process
    calls = "fsync,fdatasync,pwrite64"
    inject = f"inject={calls}:delay_enter={SLOW_MICROSECONDS}"
    command = [strace, "-qq", "-f", "-o", os.devnull, "-p", str(process.pid if process else 0)]
    tracer = subprocess.Popen([*command, "-e", f"trace={calls}", "-e", inject])
    try:
        with suppress(subprocess.TimeoutExpired):
            tracer.wait(PAUSE_SECONDS)
            raise NotHereError("strace may not attach to the speed layer")
    finally:
        tracer.terminate()
        tracer.wait()


def _clock(scene: Scene) -> None:
    """Run the speed layer with a clock that jumps, in the place of the supervised one."""
    library = next((each for each in _FAKETIME if Path(each).exists()), None)
    if library is None:
        raise NotHereError("no libfaketime")
    stack = scene.system.stack
    clock = scene.store.parent / "clock"
    clock.write_text("+0")
    env = {**stack.env, "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock),
           "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
    stack.ask("stop", "speed-layer")
    with (stack.layout.logs_dir / "speed-layer-clock.log").open("ab") as log:
        command = [sys.executable, "-m", "speed_layer"]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        service = next(each for each in stack.services if each.name == "speed-layer")
        wait_for("the speed layer", lambda: service.is_ready() is None, 120)
        clock.write_text("+3600")
        time.sleep(PAUSE_SECONDS)
        clock.write_text("-3600")
        time.sleep(PAUSE_SECONDS)
    finally:
        process.terminate()
        process.wait(60)
        stack.ask("start", "speed-layer")


def _poison(scene: Scene) -> None:
    producer = Producer({"bootstrap.servers": scene.system.settings.bootstrap_servers})
    good = {"event_id": "evt_bad", "timestamp": 1700000000000, "user": "mallory"}
    records = [
        b"", b"not json", b"[]", b"null", b"{", b"\xff\xfe\x00", b'{"event_id": 1}',
        b"[" * 100_000, b'{"user":"' + b"x" * 900_000 + b'"}',
        json.dumps(good | {"timestamp": "yesterday"}).encode(),
        json.dumps(good | {"user": None}).encode(),
    ]  # fmt: skip
    small = [record for record in records if len(record) < 1_000]
    for number in range(20_000):
        chosen = records if number % 1_000 < len(records) else small
        producer.produce(SECURITY_EVENTS, chosen[number % len(chosen)], f"poison-{number % 7}")
        producer.poll(0)
    producer.produce(SECURITY_EVENTS, None, "poison")
    producer.flush(60)


def _burst(scene: Scene) -> None:
    usual = scene.load.rate.value
    scene.load.rate.value = BURST * usual
    time.sleep(BURST_SECONDS)
    scene.load.rate.value = usual


def _power_cut(scene: Scene) -> None:
    for service in SERVICES:
        with suppress(ServiceError):  # it has ended already, for want of the one before it
            scene.system.stack.kill(service)
