"""Faults against the whole system under load, and what is left of its promises after each.

    make chaos                             every fault; writes its section of docs/benchmarks.md
    QUICK=1 make chaos                     seven of them; writes nothing
    FAULTS="disk full,clock" make chaos    those whose names hold one of these texts; writes nothing
    FAULTS=help make chaos                 the names
    RATE=2000 make chaos                   with another load than 10,000 events/s
    LIMIT_MINUTES=20 make chaos            faults that come later than this are skipped (default 60)

The stack runs on free ports with folders of its own; a producer keeps the rate whatever happens,
a client asks the three APIs meanwhile. A fault is over when the harm has been done and undone;
the system has recovered when every service says it is ready, the merged view is at most two
seconds of load behind the broker, and nothing is missing or there twice. Where that does not
come within ``RECOVERY_SECONDS`` the row says so, with what was missing and double by then, and
the next fault follows. The first row begins with an older version of StreamGuard, whose stores
and runs this one takes over. At the end the load stops, and the merged view must hold every
event that the broker acknowledged, with and without a last batch run.

Prints a line per fault as it goes, the table, and one line of JSON last; exit status 1 when a
promise was broken.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
from chaos_faults import Fault, NotHereError, Scene, faults, finish_run
from chaos_table import HEADER, Outcome, figures
from cut_network import Wire
from docs_section import write_section
from own_disk import in_own_namespace, mounted
from running_system import PORTS, Client, Load, System

from local_stack.layout import repository_root
from speed_layer.testing import wait_for

QUICK = bool(os.environ.get("QUICK"))
ONLY = [part for each in os.environ.get("FAULTS", "").split(",") if (part := each.strip())]
RATE = int(os.environ.get("RATE", "10000"))
LIMIT_SECONDS = 60 * float(os.environ.get("LIMIT_MINUTES", "60"))
OLD_REVISION = os.environ.get("OLD_REVISION", "ebffe018728eca39560bb94cbc6b0f1913a49529")
"""A version whose detection scores otherwise, and whose store has another layout."""
BEHIND_SECONDS = 2
RECOVERY_SECONDS = 300
_BEGAN = time.monotonic()


def main() -> int:
    """Run the faults and print what they came to."""
    chosen = _chosen()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, ExitStack() as stack:
        folder = Path(name) / "stack"
        small_disk = mounted(folder / "speed", stack)
        system = stack.enter_context(System(folder, {"BATCH_SCHEDULE_MINUTES": "0"}))
        wires = _wires(system, stack)
        first = chosen[0].name
        if first == UPGRADE and (why := _old_version_up(system, Path(name) / "old", stack)):
            outcomes.append(Outcome(UPGRADE, skipped=why))
            chosen = chosen[1:]
        if not system.stack.is_running():
            system.up()
        load = stack.enter_context(Load(system.settings.bootstrap_servers, RATE))
        client = stack.enter_context(Client(system))
        scene = Scene(system, load, wires, folder / "speed", small_disk)
        wait_for("the load", lambda: _behind(scene) < BEHIND_SECONDS * RATE, RECOVERY_SECONDS)
        finish_run(system)
        _say(f"the stack is up, {RATE:,} events/s; {len(chosen)} faults")
        for fault in chosen:
            outcomes.append(_outcome(fault, scene, client))
            _say(outcomes[-1].line())
        end = _end(scene)
    return _report(outcomes, end)


UPGRADE = "upgrade in place, of stores and runs of an older version"


def _chosen() -> list[Fault]:
    """Return the faults to run.

    Raises:
        SystemExit: ``FAULTS`` asks for the names, or for one that there is not.
    """
    every = [Fault(UPGRADE, _upgrade), *faults()]
    unknown = [part for part in ONLY if not any(part in fault.name for fault in every)]
    if unknown:
        names = "\n".join(f"  {fault.name}" for fault in every)
        sys.exit(f"FAULTS: {', '.join(unknown)}: no such fault; there are\n{names}")
    if ONLY:
        return [fault for fault in every if any(part in fault.name for part in ONLY)]
    return [fault for fault in every if fault.quick or not QUICK]


def _say(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {text}", flush=True)


def _old_version_up(system: System, checkout: Path, stack: ExitStack) -> str:
    """Start the older version on the system's folders; returns why not, if it cannot be."""
    root = repository_root()
    git = ["git", "-C", str(root), "worktree"]
    add = subprocess.run(
        [*git, "add", "--quiet", "--detach", str(checkout), OLD_REVISION], check=False
    )
    if add.returncode:
        return f"no revision {OLD_REVISION[:12]} in this clone"
    stack.callback(subprocess.run, [*git, "remove", "--force", str(checkout)], check=False)
    sources = ":".join(str(each) for each in sorted(checkout.glob("*/src")))
    # The services' environment holds their own ports, not the stack's settings they come from.
    ports = {f"STACK_{name.upper()}": str(getattr(system.settings, name)) for name in PORTS}
    env = {**system.stack.env, **ports, "PYTHONPATH": sources}
    up = [sys.executable, "-m", "local_stack", "up"]
    if subprocess.run(up, env=env, cwd=checkout, stdout=sys.stderr, check=False).returncode:
        system.stack.down()
        return f"revision {OLD_REVISION[:12]} does not start here"
    return ""


def _upgrade(scene: Scene) -> None:
    scene.system.stack.down()
    scene.system.up()


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
    """Let a fault happen and wait for recovery; whatever fails is in the outcome."""
    if time.monotonic() - _BEGAN > LIMIT_SECONDS:
        return Outcome(fault.name, skipped=f"after {LIMIT_SECONDS / 60:g} minutes")
    broken, over = "", time.monotonic()
    with client.watching() as seen:
        try:
            fault.happens(scene)
            over = time.monotonic()
            wait_for("recovery", lambda: _has_recovered(scene), RECOVERY_SECONDS)
        except NotHereError as error:
            return Outcome(fault.name, skipped=str(error))
        except Exception as error:  # the other faults are wanted whatever this one did
            broken = f"{type(error).__name__}: {error}; not ready: {scene.system.unready()}"
            broken += f", {_behind(scene):,} events behind"
        seconds = time.monotonic() - over
    missing, double = _wrong(scene.system) or (0, 0)
    return Outcome(fault.name, seconds, missing, double, seen, broken=broken)


def _behind(scene: Scene) -> int:
    acknowledged = scene.load.acknowledged
    return acknowledged - scene.system.total()


def _has_recovered(scene: Scene) -> bool:
    if scene.load.has_died:
        raise RuntimeError("the producer of the load has died")
    if scene.system.unready() or _behind(scene) > BEHIND_SECONDS * RATE:
        return False
    return _wrong(scene.system) == (0, 0)


def _wrong(system: System) -> tuple[int, int] | None:
    """Return how many events are missing and double; None while nobody says."""
    try:
        return system.wrong()
    except httpx.HTTPError:
        return None


@dataclass(frozen=True)
class End:
    """The comparison after the load: a sentence, and whether and by how much it failed."""

    sentence: str
    missing: int = 0
    double: int = 0
    broken: bool = False


def _end(scene: Scene) -> End:
    """Stop the load and compare what was acknowledged with what is served."""
    scene.load.stop()
    produced = scene.load.acknowledged
    when, fault = "without and with a last batch run", "the load had died" * scene.load.has_died
    try:
        wait_for("every event", lambda: _is_whole(scene, produced), RECOVERY_SECONDS)
        finish_run(scene.system)
        wait_for("every event after the run", lambda: _is_whole(scene, produced), RECOVERY_SECONDS)
    except (TimeoutError, RuntimeError, httpx.HTTPError) as error:
        when, fault = "at the end", str(error)
    served = scene.system.total()
    missing, double = _wrong(scene.system) or (0, 0)
    sentence = f"{produced:,} events acknowledged by the broker, {served:,} in the answers, {when}"
    if not fault:
        return End(sentence)
    sentence += f"; /consistency: {missing} missing, {double} double; {fault}"
    return End(sentence, max(missing, produced - served), max(double, served - produced), True)


def _is_whole(scene: Scene, produced: int) -> bool:
    return scene.system.total() == produced and _wrong(scene.system) == (0, 0)


def _report(outcomes: Sequence[Outcome], end: End) -> int:
    table = [*HEADER, *(outcome.row() for outcome in outcomes), "", end.sentence]
    last = figures(outcomes, end.missing, end.double)
    print("\n".join(["", *table]))
    if not QUICK and not ONLY:
        write_section("chaos", [f"Load: {RATE:,} events/s.", "", *table, "", f"`{last}`"])
    print(last)
    return int(end.broken or not all(outcome.kept for outcome in outcomes))


if __name__ == "__main__":
    in_own_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stack is stopped on the way out
    sys.exit(main())
