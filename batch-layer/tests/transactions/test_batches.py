"""Batches that are cancelled while they run."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batch_layer.testing import wait_for
from batch_layer.transactions import batches as batches_module
from batch_layer.transactions.batches import Batches
from batch_layer.transactions.records import Status
from batch_layer.transactions.registry import Registry
from batch_layer.transactions.requests import BatchRunRequest

pytestmark = pytest.mark.integration


@pytest.fixture
def batches(spark, settings):
    """Batches over a lake with one transaction; they end with the test."""
    today = datetime.now(UTC).date()
    row = pa.table({"transaction_id": ["t"], "category": ["toys"], "event_date": [today]})
    write_deltalake(settings.lake_dir / "seed/transactions", row)
    registry = Registry(settings.data_dir)
    made = Batches(spark, settings, registry)
    yield made
    made.stop(0)
    registry.close()


def submitted(batches) -> str:
    request = BatchRunRequest(
        analysisType="revenue_by_category", startDate="2026-01-01", endDate="2036-01-01"
    )
    return batches.submit(request).batch_id


def active_jobs(spark) -> list[int]:
    return spark.sparkContext.statusTracker().getActiveJobsIds()


def test_a_batch_is_cancelled_in_the_middle_of_its_spark_job(spark, batches, monkeypatch):
    ended = threading.Event()

    def endless(session, *_):
        try:
            session.range(10**14).selectExpr("sum(id % 7)").collect()
        finally:
            ended.set()

    monkeypatch.setattr(batches_module, "run_batch", endless)
    batch_id = submitted(batches)
    wait_for("a Spark job", lambda: active_jobs(spark), 30)

    assert batches.cancel(batch_id).status is Status.CANCELLED
    assert ended.wait(30), "the job goes on"
    assert not active_jobs(spark)


def test_a_batch_cancelled_before_its_jobs_have_a_group_writes_nothing(
    settings, batches, monkeypatch
):
    ended = threading.Event()
    in_pool = batches_module.in_pool

    @contextmanager
    def cancelled_on_the_way(session, pool, batch_id):
        batches.cancel(batch_id)
        try:
            with in_pool(session, pool, batch_id):
                yield
        finally:
            ended.set()

    monkeypatch.setattr(batches_module, "in_pool", cancelled_on_the_way)
    batch_id = submitted(batches)

    assert ended.wait(60)
    assert not (settings.lake_dir / "batches" / batch_id).exists()


def test_a_batch_cancelled_before_its_first_job_writes_nothing(settings, batches, monkeypatch):
    ended = threading.Event()
    run_batch = batches_module.run_batch

    def cancelled_on_the_way(spark, settings, record, check_cancelled):
        batches.cancel(record.batch_id)
        try:
            return run_batch(spark, settings, record, check_cancelled)
        finally:
            ended.set()

    monkeypatch.setattr(batches_module, "run_batch", cancelled_on_the_way)
    batch_id = submitted(batches)

    assert ended.wait(60)
    assert not list((settings.lake_dir / "batches" / batch_id).rglob("_delta_log/*.json"))
