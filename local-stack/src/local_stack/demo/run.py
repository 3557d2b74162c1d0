"""The demo's steps, in order."""

import sys
import time

from rich.console import Console

from contracts.topics import TRANSACTIONS_STREAM
from local_stack.demo.api import Api
from local_stack.demo.findings import Findings, Quality
from local_stack.demo.report import print_findings
from local_stack.demo.scenario import (
    EVENTS,
    EVENTS_BEFORE_BATCH,
    TRANSACTIONS,
    Scenario,
    generate,
    publish,
    publish_transactions,
)
from local_stack.demo.steps import Say, Steps, wait_until
from local_stack.errors import DemoError
from local_stack.settings import Settings

QUESTION = "Is user manager anomalous?"
ANALYSIS = "revenue_by_category"
_BATCH_TIMEOUT_SECONDS = 600
_REALTIME_TIMEOUT_SECONDS = 180
_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


def run_demo(settings: Settings, console: Console, started: float) -> None:
    """Run the demo on a stack that is up; the last line printed is JSON.

    Args:
        settings: where the services are.
        console: where the findings are printed.
        started: monotonic time at which all of it began, for the seconds in the last line.

    Raises:
        DemoError: a step failed, or something that was read back is not right.
    """
    steps = Steps(console)
    with Api(settings) as api:
        with steps.step(f"generating {EVENTS:,} security events"):
            scenario = generate(settings.dir.resolve() / "demo")
        before = api.summary()
        servers = settings.bootstrap_servers
        with steps.step(f"publishing the first {EVENTS_BEFORE_BATCH:,} of them"):
            publish(scenario, servers, 0, EVENTS_BEFORE_BATCH)
        with steps.step(f"generating and publishing {TRANSACTIONS:,} transactions"):
            offsets = publish_transactions(servers)
        with steps.step("security batch run") as say:
            run_id = _security_run(api, say)
        with steps.step(f"transaction analysis {ANALYSIS}") as say:
            batch_id = _analysis(api, offsets, say)
        with steps.step(f"publishing the other {EVENTS - EVENTS_BEFORE_BATCH:,} events") as say:
            publish(scenario, servers, EVENTS_BEFORE_BATCH, EVENTS)
            _wait_for_events(api, before.totalEvents + EVENTS, say)
        with steps.step("asking the assistant"):
            answer = api.ask(QUESTION)
        with steps.step("reading everything back"):
            found = [
                record
                for record in api.anomalies_since(scenario.start_ms)
                if record.event_id in scenario.event_ids
            ]
            findings = Findings(
                before=before,
                after=api.summary(),
                consistency=api.consistency(),
                run_id=run_id,
                anomalies=found,
                quality=_quality(scenario, found_ids={record.event_id for record in found}),
                alerts=api.alerts(),
                report=api.training_report(),
                analysis=api.analysis(batch_id),
                analysis_rows=api.analysis_rows(batch_id),
                answer=answer,
                seconds=time.monotonic() - started,
            )
    print_findings(findings, settings, console)
    sys.stdout.write(findings.json_line() + "\n")
    sys.stdout.flush()
    if faults := findings.faults():
        raise DemoError("not right: " + "; ".join(faults))


def _quality(scenario: Scenario, found_ids: set[str]) -> Quality:
    return Quality.of(found_ids, scenario.anomalous_ids)


def _security_run(api: Api, say: Say) -> str:
    """Start a run, wait until it has ended and the serving layer answers from it."""
    run_ids: list[str] = []

    def started() -> bool:
        run_id = api.start_security_run()
        if run_id is None:
            say("waiting for a run that is under way")
            return False
        run_ids.append(run_id)
        return True

    wait_until(started, "a security run can start", _BATCH_TIMEOUT_SECONDS)
    run_id = run_ids[0]

    def ended() -> bool:
        status = api.security_run(run_id)
        progress = status.get("progress") or {}
        say(f"{status['status']} {progress.get('stage') or ''}".strip())
        if status["status"] in {"FAILED", "CANCELLED"}:
            raise DemoError(f"security run {run_id}: {status.get('errorMessage')}")
        return bool(status["status"] == "COMPLETED")

    wait_until(ended, f"security run {run_id} has ended", _BATCH_TIMEOUT_SECONDS)
    say("published; waiting for the serving layer to load it")
    wait_until(
        lambda: api.consistency().run_id == run_id,
        f"the serving layer answers from run {run_id}",
        _REALTIME_TIMEOUT_SECONDS,
    )
    return run_id


def _analysis(api: Api, offsets: dict[str, int], say: Say) -> str:
    batch_id = api.start_analysis(TRANSACTIONS_STREAM, offsets, ANALYSIS)

    def ended() -> bool:
        status = api.analysis(batch_id)
        say(str(status["status"]))
        if status["status"] in _ENDED - {"COMPLETED"}:
            raise DemoError(f"analysis {batch_id}: {status.get('errorMessage')}")
        return bool(status["status"] == "COMPLETED")

    wait_until(ended, f"analysis {batch_id} has ended", _BATCH_TIMEOUT_SECONDS)
    return batch_id


def _wait_for_events(api: Api, goal: int, say: Say) -> None:
    def arrived() -> bool:
        summary = api.summary()
        say(f"{summary.totalEvents:,} of {goal:,} events can be queried")
        return summary.totalEvents >= goal and summary.complete

    wait_until(arrived, f"{goal:,} events can be queried", _REALTIME_TIMEOUT_SECONDS)
