"""Faults against the whole system under load, and what is left of its promises after each.

    make chaos             every fault; writes its section of docs/benchmarks.md
    QUICK=1 make chaos     seven of them; writes nothing
    RATE=2000 make chaos   with another load than 10,000 events/s

The stack runs on free ports with folders of its own; a producer keeps the rate whatever happens,
a client asks the three APIs meanwhile. A fault is over when the harm has been done and undone;
the system has recovered when every service says it is ready, the merged view is at most two
seconds of load behind the broker, and nothing is missing or there twice. The first row begins
with an older version of StreamGuard, whose stores and runs this one takes over. At the end the
load stops, and the merged view must hold every event that the broker acknowledged, with and
without a last batch run. Prints a table, and one line of JSON last; exit status 1 when a promise
was broken.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from chaos_faults import DISK_BYTES, Fault, NotHereError, Scene, faults, finish_run
from cut_network import Wire
from docs_section import write_section
from running_system import Client, Load, Seen, System

from local_stack.layout import repository_root
from speed_layer.testing import wait_for

QUICK = bool(os.environ.get("QUICK"))
RATE = int(os.environ.get("RATE", "10000"))
OLD_REVISION = os.environ.get("OLD_REVISION", "ebffe018728eca39560bb94cbc6b0f1913a49529")
"""A version whose detection scores otherwise, and whose store has another layout."""
BEHIND_SECONDS = 2
RECOVERY_SECONDS = 300
_NAMESPACE = "STREAMGUARD_CHAOS_NAMESPACE"
HEADER = [
    "| fault | recovered after | missing | double | serving: failed, silent, stalest"
    " | batch: failed, silent | assistant: failed, silent |",
    "|---|---|---|---|---|---|---|",
]


@dataclass(frozen=True)
class Outcome:
    """What one fault came to; ``seconds`` is None where it could not be done here."""

    name: str
    seconds: float | None
    missing: int = 0
    double: int = 0
    seen: dict[str, Seen] | None = None
    why: str = ""

    def row(self) -> str:
        """Return the row of the table."""
        if self.seconds is None:
            return f"| {self.name} | not exercised here: {self.why} | | | | | |"
        seen = self.seen or {}
        serving = seen.get("serving", Seen())
        cells = [f"{_saw(serving)}, {serving.stalest:.1f} s"]
        cells += [_saw(seen.get(name, Seen())) for name in ("batch", "assistant")]
        counts = f"{self.missing} | {self.double}"
        return f"| {self.name} | {self.seconds:.1f} s | {counts} | {' | '.join(cells)} |"


def _saw(seen: Seen) -> str:
    return f"{seen.failed} of {seen.asked}, {seen.longest_silence:.1f} s"


def main() -> int:
    """Run the faults and print what they came to."""
    chosen = [fault for fault in faults() if fault.quick or not QUICK]
    outcomes: list[Outcome] = []
    print("\n".join(HEADER), flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, ExitStack() as stack:
        folder = Path(name) / "stack"
        small_disk = _mount(folder / "speed", stack)
        system = stack.enter_context(System(folder, {"BATCH_SCHEDULE_MINUTES": "0"}))
        wires = _wires(system, stack)
        if QUICK:
            system.up()
        elif not _old_version_up(system, Path(name) / "old", stack):
            outcomes.append(Outcome(_UPGRADE, None, why="no such revision in this clone"))
            system.up()
        load = stack.enter_context(Load(system.settings.bootstrap_servers, RATE))
        client = stack.enter_context(Client(system))
        scene = Scene(system, load, wires, folder / "speed", small_disk)
        wait_for("the load", lambda: _behind(scene) < BEHIND_SECONDS * RATE, RECOVERY_SECONDS)
        finish_run(system)
        if not QUICK and not outcomes:
            chosen.insert(0, Fault(_UPGRADE, _upgrade))
        for fault in chosen:
            outcomes.append(_outcome(fault, scene, client))
            print(outcomes[-1].row(), flush=True)
        summary = _end(scene)
    return _report(outcomes, summary)


_UPGRADE = "upgrade in place, of stores and runs of an older version"


def _old_version_up(system: System, checkout: Path, stack: ExitStack) -> bool:
    """Start the older version on the system's folders; False if this clone does not have it."""
    root = repository_root()
    git = ["git", "-C", str(root), "worktree"]
    add = subprocess.run(
        [*git, "add", "--quiet", "--detach", str(checkout), OLD_REVISION], check=False
    )
    if add.returncode:
        return False
    stack.callback(subprocess.run, [*git, "remove", "--force", str(checkout)], check=False)
    sources = ":".join(str(each) for each in sorted(checkout.glob("*/src")))
    env = {**system.stack.env, "PYTHONPATH": sources}
    up = [sys.executable, "-m", "local_stack", "up"]
    subprocess.run(up, env=env, cwd=checkout, stdout=sys.stderr, check=True)
    return True


def _upgrade(scene: Scene) -> None:
    scene.system.stack.down()
    scene.system.up()


def _mount(store: Path, stack: ExitStack) -> bool:
    """Give the speed layer's folder a file system of its own, if this process may."""
    store.mkdir(parents=True)
    if not os.environ.get(_NAMESPACE):
        return False
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(store)]
    if subprocess.run(mount, check=False).returncode:
        return False
    stack.callback(subprocess.run, ["umount", "--lazy", str(store)], check=False)
    return True


def _wires(system: System, stack: ExitStack) -> dict[str, Wire]:
    """Put wires that can be cut between services."""
    settings = system.settings
    targets = {
        "serving to speed": ("SERVING_SPEED_URLS", settings.speed_port),
        "serving to batch": ("SERVING_BATCH_URL", settings.batch_port),
        "assistant to serving": ("ASSISTANT_SERVING_URL", settings.serving_port),
    }
    found = {}
    for name, (variable, port) in targets.items():
        found[name] = stack.enter_context(Wire((settings.host, port)))
        system.change(**{variable: found[name].url})
    return found


def _outcome(fault: Fault, scene: Scene, client: Client) -> Outcome:
    with client.watching() as seen:
        try:
            fault.happens(scene)
        except NotHereError as error:
            return Outcome(fault.name, None, why=str(error))
        over = time.monotonic()
        with _explained(scene, fault):
            wait_for("recovery", lambda: _has_recovered(scene), RECOVERY_SECONDS)
        seconds = time.monotonic() - over
    missing, double = scene.system.wrong()
    return Outcome(fault.name, seconds, missing, double, seen)


@contextmanager
def _explained(scene: Scene, fault: Fault) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise TimeoutError(
            f"{fault.name}: {error}; not ready: {scene.system.unready()}, "
            f"{_behind(scene)} events behind"
        ) from None


def _behind(scene: Scene) -> int:
    acknowledged = scene.load.acknowledged
    return acknowledged - scene.system.total()


def _has_recovered(scene: Scene) -> bool:
    if scene.system.unready() or _behind(scene) > BEHIND_SECONDS * RATE:
        return False
    try:
        return scene.system.wrong() == (0, 0)
    except httpx.HTTPError:
        return False


def _end(scene: Scene) -> str:
    """Stop the load and compare what was acknowledged with what is served.

    Returns:
        A sentence with the counts.

    Raises:
        RuntimeError: They differ.
    """
    scene.load.stop()
    produced = scene.load.acknowledged
    for view in ("both layers", "a last batch run"):
        wait_for(f"{produced} events", lambda: scene.system.total() == produced, RECOVERY_SECONDS)
        if scene.system.wrong() != (0, 0):
            raise RuntimeError(f"after {view}: {scene.system.wrong()}")
        if view == "both layers":
            finish_run(scene.system)
    return (
        f"{produced:,} events acknowledged by the broker, {scene.system.total():,} in the answers"
    )


def _report(outcomes: list[Outcome], summary: str) -> int:
    done = [outcome for outcome in outcomes if outcome.seconds is not None]
    figures = {
        "faults": len(done),
        "missing": sum(outcome.missing for outcome in done),
        "double": sum(outcome.double for outcome in done),
        "max_recovery_s": round(max(outcome.seconds or 0 for outcome in done), 1),
    }
    print(f"\n{summary}")
    if not QUICK:
        rows = [outcome.row() for outcome in outcomes]
        lines = [f"Load: {RATE:,} events/s.", "", *HEADER, *rows, "", summary]
        write_section("chaos", [*lines, "", f"`{json.dumps(figures)}`"])
    print(json.dumps(figures))
    return int(bool(figures["missing"] or figures["double"]))


def _in_own_namespace() -> None:
    """Start again where a file system may be mounted, if the machine allows that."""
    unshare = shutil.which("unshare")
    own = [unshare or "", "--user", "--map-root-user", "--mount"]
    if unshare is None or subprocess.run([*own, "true"], check=False).returncode:
        return
    env = {**os.environ, _NAMESPACE: "1"}
    os.execve(unshare, [*own, sys.executable, *sys.argv], env)  # noqa: S606 - this very program


if __name__ == "__main__":
    if not os.environ.get(_NAMESPACE):
        _in_own_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stack is stopped on the way out
    sys.exit(main())
