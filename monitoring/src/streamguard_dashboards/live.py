"""Ask a real Prometheus every question of the dashboards and alert rules, and name the silent ones.

``python -m streamguard_dashboards.live speed-layer=127.0.0.1:9101 ...`` starts the machine's
Prometheus over the given targets; exit code 1 when a query fails or finds nothing.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import yaml

from streamguard_dashboards.pages import PAGES
from streamguard_dashboards.panels import metrics_in

_PROMETHEUS = Path(__file__).parents[2] / "prometheus"
RULES = (_PROMETHEUS / "alerts.yml", _PROMETHEUS / "slo.yml")
SCRAPE_SECONDS = 1
# Long enough for rate() to have two samples, and for gauges that are set now and then.
SAMPLES = 15
VARIABLES = {"$__rate_interval": "30s", "$job": ".+", "$instance": ".+"}
# What is rightly silent on a system without a language model, webhooks or a stream of
# transactions, or whose batch layer has not run since its start.
MAY_BE_SILENT = (
    "gen_ai_client_operation_duration_seconds",
    "gen_ai_client_token_usage",
    "genai_openai_duration_seconds",
    "genai_openai_requests_total",
    "genai_openai_tokens_total",
    "batch_stream_up",
    "batch_security_stage_seconds",
    "genai_analyses_written_total",
    "serving_webhook_attempts_total",
    "serving_run_failure",
    "batch_feature_drift",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One query. ``place`` says whose: a dashboard's panel or an alert rule."""

    place: str
    expression: str
    may_be_empty: bool = False
    """Only an error is a fault: an alert that does not fire finds nothing."""


def panel_questions() -> Iterator[Question]:
    """Yield the query of every panel, its variables at their defaults."""
    for page in PAGES.values():
        built = page().build()
        for panel in built.panels or []:
            for target in getattr(panel, "targets", None) or []:
                expression = target.expr
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                yield Question(f"{built.title}: {panel.title}", expression)


def rule_questions() -> Iterator[Question]:
    """Yield every rule's expression, and each of its metrics: a rule over nothing never fires."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                place = f"rule {rule.get('alert') or rule['record']}"
                yield Question(place, rule["expr"], may_be_empty=True)
                for name in sorted(metrics_in(rule["expr"])):
                    yield Question(place, name)


@contextmanager
def prometheus(targets: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Run Prometheus with our rules over ``(job, host:port)`` and yield its URL.

    Raises:
        FileNotFoundError: the machine has no ``prometheus``.
    """
    binary = shutil.which("prometheus")
    if binary is None:
        raise FileNotFoundError(
            "no prometheus on this machine (Debian: apt-get install prometheus)"
        )
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets]
    with tempfile.TemporaryDirectory(prefix="prometheus-") as folder:
        config = Path(folder) / "prometheus.yml"
        every = dict.fromkeys(("scrape_interval", "evaluation_interval"), f"{SCRAPE_SECONDS}s")
        # Alerts on recorded series have something to ask only where those are recorded.
        rules = [str(path.resolve()) for path in RULES]
        settings = {"global": every, "rule_files": rules, "scrape_configs": jobs}
        config.write_text(yaml.safe_dump(settings))
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
                "--log.level=error",
            ]
        )
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def ask(url: str, expression: str) -> list[Any]:
    """Return the instant answer, a list of series.

    Raises:
        ValueError: Prometheus refused the query; the message is its own.
    """
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expression}, timeout=30).json()
    if answer["status"] != "success":
        raise ValueError(answer["error"])
    found: list[Any] = answer["data"]["result"]
    return found


def wait_until(holds: Callable[[], bool], seconds: float, missing: str) -> None:
    """Poll until ``holds()``.

    Raises:
        TimeoutError: it never held; the message is ``missing``.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(missing)
        time.sleep(0.5)


def answers(url: str, expression: str) -> bool:
    """Whether Prometheus is there and finds something."""
    try:
        return bool(ask(url, expression))
    except (httpx.HTTPError, ValueError):
        return False


def silent(url: str, questions: Sequence[Question]) -> Iterator[str]:
    """Yield a line for each question that fails or finds nothing though it should."""
    for question in questions:
        try:
            found = ask(url, question.expression)
        except ValueError as error:
            yield f"{question.place}: {error}: {question.expression}"
            continue
        excused = question.may_be_empty or any(
            name.startswith(MAY_BE_SILENT) for name in metrics_in(question.expression)
        )
        if not found and not excused:
            yield f"{question.place}: no data: {question.expression}"


def main() -> int:
    """Print what is silent; return the exit code."""
    parser = argparse.ArgumentParser(prog="streamguard_dashboards.live", description=__doc__)
    parser.add_argument("targets", nargs="+", metavar="JOB=HOST:PORT")
    targets = [tuple(target.split("=", 1)) for target in parser.parse_args().targets]
    questions = [*panel_questions(), *rule_questions()]
    with prometheus([(job, address) for job, address in targets]) as url:
        enough = f"sum(count_over_time(up[1h])) >= {SAMPLES * len(targets)}"
        wait_until(lambda: answers(url, enough), 120, f"no {SAMPLES} scrapes of every target")
        wait_until(
            lambda: answers(url, f"sum(up) == {len(targets)}"), 30, "a target does not answer"
        )
        found = list(silent(url, questions))
    for line in found:
        print(line)
    print(f"{len(questions)} queries, {len(found)} silent or refused")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
