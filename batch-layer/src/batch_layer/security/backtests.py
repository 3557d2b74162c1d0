"""Backtests: what a rule file would have raised over the events of the published run.

All history up to the end of the range passes through detection, because a rule may ask for what is usual
of a user; only alerts of the range are told. No Spark: the run's event files are read one after the
other, in offset order, in a thread.
"""

import logging
import tempfile
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.parquet as pq

from batch_layer.errors import InvalidRequestError, RunNotFoundError, ServiceUnavailableError
from contracts.decoder import decode
from contracts.errors import LakeError
from contracts.lake import SECURITY, manifest_path, read_current
from contracts.views import Manifest
from detection import Engine, sigma
from detection.errors import RuleError

if TYPE_CHECKING:
    from detection.rules import RuleSet

logger = logging.getLogger(__name__)

MOST_ALERTS = 10_000
"""Alerts that are told; more are counted."""

_KEPT = 50
_MOST_WAITING = 4
_ROWS_AT_ONCE = 16_384

Status = Literal["RUNNING", "COMPLETED", "FAILED", "CANCELLED"]


@dataclass(slots=True)
class Backtest:
    """One backtest; times in Unix ms, ``[start_time, end_time)``."""

    backtest_id: str
    run_id: str
    start_time: int
    end_time: int
    events_total: int
    status: Status = "RUNNING"
    events_done: int = 0
    alerts_total: int = 0
    alerts: list[dict[str, Any]] = field(default_factory=list)
    error_message: str | None = None
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)


class Backtests:
    """Runs backtests one after the other; they are forgotten when the process ends."""

    def __init__(self, lake: Path) -> None:
        self._lake = lake
        self._known: OrderedDict[str, Backtest] = OrderedDict()
        self._turn = threading.Lock()

    def start(self, rule: str, start_time: int, end_time: int) -> Backtest:
        """Begin a backtest of a rule file's text and return its record.

        Raises:
            InvalidRequestError: If detection does not take the rule.
            ServiceUnavailableError: If no run is published, or too many backtests wait.
        """
        rules = _rules(rule)
        try:
            run_id = read_current(self._lake)
            if run_id is None:
                raise ServiceUnavailableError("no security run has been published yet")
            manifest = Manifest.parse((self._lake / manifest_path(run_id)).read_bytes())
        except (LakeError, OSError) as error:
            raise ServiceUnavailableError(f"the published run cannot be read: {error}") from error
        if sum(each.status == "RUNNING" for each in self._known.values()) >= _MOST_WAITING:
            raise ServiceUnavailableError("too many backtests are running; try again later")
        test = Backtest(
            backtest_id=f"bt-{uuid.uuid4().hex[:12]}",
            run_id=manifest.run_id,
            start_time=start_time,
            end_time=end_time,
            events_total=sum(file.rows for file in manifest.event_files),
        )
        self._known[test.backtest_id] = test
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        # A daemon: a backtest never keeps the service from stopping.
        threading.Thread(
            target=self._run, args=(test, manifest, rules), name=test.backtest_id, daemon=True
        ).start()
        return test

    def get(self, backtest_id: str) -> Backtest:
        """Return a backtest.

        Raises:
            RunNotFoundError: If there is none with this id.
        """
        if backtest_id not in self._known:
            raise RunNotFoundError(f"no backtest has the id {backtest_id!r}")
        return self._known[backtest_id]

    def cancel(self, backtest_id: str) -> Backtest:
        """Ask a backtest to end; one that has ended stays as it is."""
        test = self.get(backtest_id)
        test.cancelled.set()
        return test

    def _run(self, test: Backtest, manifest: Manifest, rules: "RuleSet") -> None:
        try:
            with self._turn:
                for alert in raised(self._lake / SECURITY, manifest, rules, test):
                    if test.start_time <= alert["timestamp"] < test.end_time:
                        test.alerts_total += 1
                        if len(test.alerts) < MOST_ALERTS:
                            test.alerts.append(alert)
            test.status = "CANCELLED" if test.cancelled.is_set() else "COMPLETED"
        except Exception as error:  # whatever it is, the record must say that it is over
            logger.exception(
                "backtest %s", test.backtest_id, extra={"backtest_id": test.backtest_id}
            )
            test.error_message = f"{type(error).__name__}: {error}"
            test.status = "FAILED"


def raised(
    security: Path, manifest: Manifest, rules: "RuleSet", test: Backtest
) -> Iterator[dict[str, Any]]:
    """Yield the alerts that rules raise over a run's events; count events in ``test``."""
    engine, before = Engine(rules=rules), None
    for topic, partition, _, file in sorted(_located(security, manifest)):
        if (topic, partition) != before:
            engine, before = Engine(rules=rules), (topic, partition)
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=["offset", "raw"]):
                if test.cancelled.is_set():
                    return
                offsets, values = batch["offset"].to_pylist(), batch["raw"].to_pylist()
                result = engine.process(decode(topic, partition, offsets, values).events)
                test.events_done += batch.num_rows
                for _, alert in result.alerts:
                    yield alert.model_dump(by_alias=False)


def _located(security: Path, manifest: Manifest) -> Iterator[tuple[str, int, int, Path]]:
    """Yield topic, partition, first offset and path of each event file that has rows."""
    for file in manifest.event_files:
        if file.rows:
            path = security / file.path
            with pq.ParquetFile(path) as parquet:
                names = ["topic", "partition", "offset"]
                first = next(parquet.iter_batches(1, columns=names)).to_pylist()[0]
            yield first["topic"], first["partition"], first["offset"], path


def _rules(text: str) -> "RuleSet":
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rule.yml"
        file.write_text(text)
        try:
            return sigma.load(file)
        except RuleError as error:
            raise InvalidRequestError("rule", str(error).replace(f"{folder}/", "")) from error
