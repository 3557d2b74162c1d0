"""Follow the runbook: bring alerts about, check as its page says, mend it, see the alert end.

    make drill                      all of them; writes its section of docs/how-to/runbook.md
    ALERTS=ServiceDown make drill   some; writes nothing

A stack of its own with a real Prometheus over the repository's rules, scraped every second. Each
drill brings the cause about, waits until the rule is pending or fires, runs the commands that
stand in the page's *Check* (addresses exchanged for those of the stack), looks in what they print
for what the page promises, mends it as *Fix* says, and waits until the rule is quiet. How long a
rule has to hold before it fires is left out: promtool tests that (``monitoring/prometheus/tests``).

Prints a line per drill, the table, and one line of JSON last; exit status 1 when a page was wrong.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from chaos_faults import NotHereError, finish_run
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from docs_section import write_section
from own_disk import in_own_namespace, mounted, roomy, shrunk
from running_system import PORTS, System

from contracts.lake import CURRENT, RUNS
from contracts.topics import SECURITY_EVENTS, TRANSACTIONS_STREAM
from local_stack.layout import repository_root
from speed_layer.testing import wait_for
from streamguard_dashboards.live import answers, prometheus

ONLY = [part for each in os.environ.get("ALERTS", "").split(",") if (part := each.strip())]
PAGE = repository_root() / "docs" / "how-to" / "runbook.md"
FIRES_SECONDS = 180
ENDS_SECONDS = 420
AWAY_SECONDS = 15
"""Well above the 5 s within which records are to be queryable."""
HEADER = [
    "| alert | brought about by | what the check said | mended by | alert after, s | quiet after, s |",
    "|---|---|---|---|---|---|",
]


@dataclass
class Scene:
    """What drills act on."""

    system: System
    prometheus: str
    store: Path
    small_disk: bool


@dataclass(frozen=True)
class Drill:
    """One alert, from its cause to its end.

    Attributes:
        alert: Its name in the rules.
        section: Heading of its page.
        cause: What is done, in words.
        happens: Does it.
        promise: Pattern of what the page's check must print.
        fix: What the page says, in words.
        mend: Does it.
        lasts: Why the rule stays on for longer than a drill, where it looks back.
    """

    alert: str
    section: str
    cause: str
    happens: Callable[[Scene], None]
    promise: str
    fix: str
    mend: Callable[[Scene], None]
    lasts: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a drill; ``fault`` is empty when the page was right."""

    drill: Drill
    fired: float = 0.0
    said: str = ""
    ended: float | None = None
    fault: str = ""
    skipped: str = ""

    def row(self) -> str:
        """Return the table's line."""
        drill = self.drill
        if self.skipped:
            return f"| {drill.alert} | not followed: {self.skipped} | | | | |"
        ended = drill.lasts if self.ended is None else f"{self.ended:.0f}"
        said = self.said.replace("`", "'")
        cells = [drill.alert, drill.cause, f"`{said}`", drill.fix, f"{self.fired:.0f}", ended]
        if self.fault:
            cells[2] = f"**{self.fault}**"
        return f"| {' | '.join(each.replace('|', '/') for each in cells)} |"


class DrillError(Exception):
    """The page or the rule is not what it should be."""


def main() -> int:
    """Follow the pages and print what they came to."""
    with tempfile.TemporaryDirectory(prefix="drill-") as name, ExitStack() as stack:
        folder = Path(name) / "stack"
        small_disk = mounted(folder / "speed", stack)
        extra = {"BATCH_SCHEDULE_MINUTES": "0"}
        system = stack.enter_context(System(folder, extra))
        system.up()
        url = stack.enter_context(prometheus(_targets(system)))
        scene = Scene(system, url, folder / "speed", small_disk)
        outcomes = []
        for drill in drills():
            if ONLY and drill.alert not in ONLY:
                continue
            outcomes.append(followed(drill, scene))
            print(outcomes[-1].row(), flush=True)
    return _report(outcomes)


def _targets(system: System) -> list[tuple[str, str]]:
    services = {"speed-layer": "speed", "batch-layer": "batch", "serving-layer": "serving",
                "genai-assistant": "assistant"}  # fmt: skip
    return [(job, system.url(name).removeprefix("http://")) for job, name in services.items()]


def followed(drill: Drill, scene: Scene) -> Outcome:
    """Bring an alert about, check, mend, and wait for its end."""
    fired, said = 0.0, ""
    try:
        began = time.monotonic()
        drill.happens(scene)
        wait_for(f"alert {drill.alert}", lambda: _is_on(scene, drill.alert), FIRES_SECONDS)
        fired = time.monotonic() - began
        said = wait_for(f"a check that says {drill.promise}", lambda: _checked(drill, scene), 60)
        began = time.monotonic()
        drill.mend(scene)
        if drill.lasts:
            return Outcome(drill, fired, said)
        gone = f"the end of {drill.alert}"
        wait_for(gone, lambda: not _is_on(scene, drill.alert), ENDS_SECONDS)
        return Outcome(drill, fired, said, time.monotonic() - began)
    except NotHereError as error:
        return Outcome(drill, skipped=str(error))
    except Exception as error:  # the other pages are to be followed whatever this one did
        _dismantled(drill, scene)
        return Outcome(drill, fired, said, fault=f"{type(error).__name__}: {error}")


def _is_on(scene: Scene, alert: str) -> bool:
    return answers(scene.prometheus, f'ALERTS{{alertname="{alert}"}}')


def _checked(drill: Drill, scene: Scene) -> str:
    """Run the page's commands; return the line that holds what they promise, else nothing."""
    for command in commands(drill.section, "Check"):
        said = _run(command, scene).replace(f"{scene.system.settings.dir}/", "")
        for line in said.splitlines():
            if found := re.search(drill.promise, line):
                return " ".join(re.findall(r"[^\s│]+", found.group()))
    return ""


def commands(section: str, part: str) -> list[str]:
    """Return the shell commands of one part of a page's section, in order.

    Raises:
        DrillError: There is no such section or part.
    """
    text = PAGE.read_text()
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise DrillError(f"{PAGE.name} has no section {section}")
    words = re.search(rf"^- \*\*{part}\*\*:(.*?)(?=^- |\Z)", found[1], re.DOTALL | re.MULTILINE)
    if words is None:
        raise DrillError(f"{PAGE.name}, {section}: no {part}")
    quoted = re.findall(r"`([^`]+)`", words[1])
    starts = ("curl ", "make ", ".venv/bin/")
    return [" ".join(each.split()) for each in quoted if each.startswith(starts)]


def _run(command: str, scene: Scene) -> str:
    """Return what a command of the page prints, asked of the drill's stack."""
    settings = scene.system.settings
    usual = {"8080": settings.batch_port, "8081": settings.serving_port, "9101": settings.speed_port,
             "8002": settings.assistant_port, "9092": settings.kafka_port}  # fmt: skip
    for port, own in usual.items():
        command = command.replace(f"localhost:{port}", f"127.0.0.1:{own}")
    command = command.replace("service=NAME", "service=genai-assistant")
    ports = {f"STACK_{name.upper()}": str(getattr(settings, name)) for name in PORTS}
    env = {**os.environ, **ports, "STACK_DIR": str(settings.dir)}
    env |= {"STREAMGUARD_URL": scene.system.url("serving")}
    env |= {"STREAMGUARD_ASSISTANT_URL": scene.system.url("assistant")}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=repository_root(), env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def drills() -> Iterator[Drill]:
    """Yield every drill, in the order in which one leaves the stack ready for the next."""
    yield Drill(
        "StaleBatchView", "StaleBatchView", "a stack without a run", partial(_produce, 5_000),
        r'"runs": ?\[\]|^\[\]', "a run", partial(_page_run, "StaleBatchView"),
    )  # fmt: skip
    yield Drill(
        "SuspiciousLoginActivity", "SuspiciousLoginActivity", "20,000 events with attacks in them",
        partial(_produce, 20_000), r'"severity": ?"(HIGH|CRITICAL)"', "asked the assistant",
        partial(_fixed, promise=r"\d+ alerts"),
        "5 minutes: looks back",
    )  # fmt: skip
    yield Drill(
        "ServiceDown", "ServiceDown", "the assistant is stopped",
        lambda scene: scene.system.stack.ask("stop", "genai-assistant"),
        r"genai-assistant\W+stopped", "`make up`", _page_fix,
    )  # fmt: skip
    yield Drill(
        "DeadLetters", "DeadLetters", "200 unreadable records", _produce_bad,
        r"security-events/\d+@\d+ +\S+ .*?  ", "the producer is mended", _nothing,
        "10 minutes: looks back",
    )  # fmt: skip
    yield Drill(
        "ProcessingLag", "ProcessingLag", "300,000 events at once", partial(_produce, 300_000),
        r"speed_consumer_lag\S+ [1-9]\S*", "drained by itself", _nothing,
    )  # fmt: skip
    yield Drill(
        "FreshnessBudgetBurnsFast", "FreshnessBudget", "no speed layer for 15 s, then again",
        _late, r'"freshness_seconds": ?([5-9]|\d\d)[^,]*', "over by itself", _nothing,
    )  # fmt: skip
    yield Drill(
        "SpeedLayerPaused", "SpeedLayerPaused", "a full disk", _full_disk,
        r"[^\s/]+: database or disk is full", "room on the disk", _given_room,
    )  # fmt: skip
    yield Drill(
        "StreamDown", "StreamDown", "a checkpoint that cannot be written", _broken_stream,
        r'"(exception|lastError)": ?"[^"]{1,90}', "the folder is put back", _mended_stream,
    )  # fmt: skip
    yield Drill(
        "SecurityRunFailed", "SecurityRunFailed", "a file of the master dataset is gone",
        _failed_run, r'"errorMessage": ?"[^"]{1,160}', "the file is put back, another run",
        _mended_master, "half an hour: looks back",
    )  # fmt: skip
    yield Drill(
        "RunCannotBeLoaded", "RunCannotBeLoaded", "a published run's file is cut off", _cut_run,
        r'"file": ?"[^"]*", ?"reason": ?"[^"]{1,80}|"file": ?"[^"]*', "a full run", partial(_page_run, "RunCannotBeLoaded"),
    )  # fmt: skip
    yield Drill(
        "AvailabilityBudgetBurnsFast", "AvailabilityBudget",
        "a serving layer that starts with a run it cannot load", _unavailable,
        r"cannot load the published run: .{1,140}", "a full run", partial(_page_run, "RunCannotBeLoaded"),
    )  # fmt: skip
    yield Drill(
        "OffsetsLost", "OffsetsLost", "records deleted while the speed layer was away; the batch layer had ingested them", _lost,
        r'"missing": ?[1-9]\d*', "see MergeInconsistent", _nothing, "an hour: looks back",
    )  # fmt: skip
    yield Drill(
        "MergeInconsistent", "MergeInconsistent", "the same", _nothing,
        r'"missing": ?[1-9]\d*', "a full run, whose seam lies above",
        partial(_page_run, "RunCannotBeLoaded"),
    )  # fmt: skip
    yield Drill(
        "SeamInconsistent", "SeamInconsistent", "", _impossible, "", "", _nothing,
    )  # fmt: skip


def _nothing(_: Scene) -> None: ...


def _impossible(_: Scene) -> None:
    raise NotHereError("only a defect of ours brings it about")


def _produce(count: int, scene: Scene, kind: str = "security") -> None:
    broker = scene.system.settings.bootstrap_servers
    seed = str(time.time_ns() % 1_000_000)
    command = [sys.executable, "-m", "event_generator", kind, "--broker", broker]
    subprocess.run(
        [*command, "--count", str(count), "--rate", "0", "--seed", seed],
        stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip


def _produce_bad(scene: Scene) -> None:
    producer = Producer({"bootstrap.servers": scene.system.settings.bootstrap_servers})
    for number in range(200):
        event = {"event_id": f"bad-{number}", "timestamp": "yesterday", "user": "mallory"}
        producer.produce(SECURITY_EVENTS, json.dumps(event), "mallory")
    producer.flush(30)


def _page_fix(scene: Scene) -> None:
    for command in commands("ServiceDown", "Fix"):
        _run(command, scene)


def _fixed(scene: Scene, promise: str) -> None:
    """Run the commands of SuspiciousLoginActivity's fix; what they print holds the promise."""
    said = "".join(_run(each, scene) for each in commands("SuspiciousLoginActivity", "Fix"))
    if not re.search(promise, said):
        raise DrillError(f"the page's fix printed {said[:300]!r}")


def _page_run(section: str, scene: Scene) -> None:
    """Start a run with the command of a section, and wait until it is served."""
    (command,) = [each for each in commands(section, "Fix") if "security/run" in each]
    answer = _run(command.replace("curl ", "curl -s "), scene)
    run_id = json.loads(answer[answer.index("{") :])["runId"]
    wait_for(
        f"run {run_id} to be served",
        lambda: _body(scene, "serving", "/api/runs").get("current") == run_id,
        600,
    )


def _body(scene: Scene, service: str, path: str) -> dict[str, Any]:
    with suppress(httpx.HTTPError):
        found: dict[str, Any] = scene.system.get(service, path)
        return found
    return {}


def _late(scene: Scene) -> None:
    stack = scene.system.stack
    stack.ask("stop", "speed-layer")
    _produce(20_000, scene)
    time.sleep(AWAY_SECONDS)
    stack.ask("start", "speed-layer")


def _full_disk(scene: Scene) -> None:
    if not scene.small_disk:
        raise NotHereError("no file system of one's own (unshare)")
    wait_for("a disk without room", lambda: shrunk(scene.store), 10)
    _produce(100_000, scene)


def _given_room(scene: Scene) -> None:
    if not roomy(scene.store):
        raise DrillError("the disk cannot be given its room back")


def _checkpoint(scene: Scene) -> Path:
    """Return where a transaction query keeps which offsets it reads next."""
    root = scene.system.settings.dir / "lake" / "stream" / "_checkpoints" / TRANSACTIONS_STREAM
    return min(root.glob("*/offsets"))


def _broken_stream(scene: Scene) -> None:
    with suppress(httpx.TimeoutException):  # the first query of a session takes its time
        answer = scene.system.post("batch", "/stream/start", {"topic": TRANSACTIONS_STREAM})
        answer.raise_for_status()
    _produce(500, scene, "transactions")
    root = scene.system.settings.dir / "lake" / "stream" / "_checkpoints" / TRANSACTIONS_STREAM
    wait_for("a micro-batch", lambda: list(root.glob("*/commits/0")), 120)
    folder = _checkpoint(scene)
    folder.rename(folder.with_name("offsets-away"))
    folder.write_text("")
    _produce(500, scene, "transactions")


def _mended_stream(scene: Scene) -> None:
    folder = _checkpoint(scene)
    folder.unlink()
    folder.with_name("offsets-away").rename(folder)


def _master_file(scene: Scene, pattern: str) -> Path:
    return min((scene.system.settings.dir / "lake" / "master" / SECURITY_EVENTS).rglob(pattern))


def _failed_run(scene: Scene) -> None:
    file = _master_file(scene, "*.parquet")
    file.rename(file.with_name(file.name + ".away"))
    scene.system.post("batch", "/security/run", {"full": True}).raise_for_status()


def _mended_master(scene: Scene) -> None:
    file = _master_file(scene, "*.parquet.away")
    file.rename(file.with_name(file.name.removesuffix(".away")))
    finish_run(scene.system)


def _cut_run(scene: Scene) -> None:
    """Cut a file off between the publication and its reader."""
    scene.system.signal("serving-layer", signal.SIGSTOP)
    try:
        _produce(1_000, scene)
        finish_run(scene.system)
        lake = scene.system.settings.dir / "lake"
        run_id = (lake / CURRENT).read_text().strip()
        file = min((lake / RUNS / run_id / "users").rglob("*.parquet"))
        os.truncate(file, file.stat().st_size // 2)
    finally:
        scene.system.signal("serving-layer", signal.SIGCONT)


def _unavailable(scene: Scene) -> None:
    _cut_run(scene)
    scene.system.stack.kill("serving-layer")

    def is_refusing() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(url, trust_env=False).status_code == httpx.codes.SERVICE_UNAVAILABLE
        return False

    url = f"{scene.system.url('serving')}/api/events?limit=1"
    wait_for("an answer of 503", is_refusing, 120)
    for _ in range(300):
        is_refusing()


def _lost(scene: Scene) -> None:
    """Delete records that the speed layer has not read yet, as retention would."""
    scene.system.stack.ask("stop", "speed-layer")
    _produce(2_000, scene)
    ingest = [sys.executable, "-m", "batch_layer", "ingest"]
    subprocess.run(ingest, env=dict(scene.system.stack.env), capture_output=True, check=True)
    servers = {"bootstrap.servers": scene.system.settings.bootstrap_servers}
    consumer = Consumer({**servers, "group.id": "drill"})
    partitions = (
        consumer.list_topics(SECURITY_EVENTS, timeout=30).topics[SECURITY_EVENTS].partitions
    )
    ends = [
        TopicPartition(
            SECURITY_EVENTS,
            number,
            consumer.get_watermark_offsets(TopicPartition(SECURITY_EVENTS, number), timeout=30)[1],
        )
        for number in partitions
    ]
    consumer.close()
    admin = AdminClient(servers)
    for deleted in admin.delete_records(ends).values():
        deleted.result(30)
    _produce(1_000, scene)
    scene.system.stack.ask("start", "speed-layer")


def _dismantled(drill: Drill, scene: Scene) -> None:
    """Leave nothing of a drill that failed in the way of the next one."""
    with suppress(Exception):
        drill.mend(scene)
    for service in scene.system.stack.services:
        with suppress(Exception):
            scene.system.signal(service.name, signal.SIGCONT)
            scene.system.stack.ask("start", service.name)


def _report(outcomes: list[Outcome]) -> int:
    table = [*HEADER, *(each.row() for each in outcomes)]
    wrong = [each.drill.alert for each in outcomes if each.fault]
    followed_ = [each for each in outcomes if not each.skipped]
    last = json.dumps({"followed": len(followed_), "wrong": wrong})
    print("\n".join(["", *table, last]))
    if not ONLY:
        write_section("drill", table, PAGE)
    return int(bool(wrong))


if __name__ == "__main__":
    if shutil.which("prometheus") is None:
        sys.exit("no prometheus on this machine (Debian: apt-get install prometheus)")
    in_own_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stack is stopped on the way out
    sys.exit(main())
