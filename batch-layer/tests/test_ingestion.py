import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from batch_layer.errors import BrokerError, IngestionError
from batch_layer.ingestion import (
    checkpoint_path,
    coverage,
    first_line,
    ingest,
    raw_records,
    table_path,
)
from contracts.topics import SECURITY_EVENTS, USER_EVENTS
from local_stack.errors import BrokerError as StackBrokerError

pytestmark = pytest.mark.integration


def test_every_record_is_kept_once_and_other_topics_do_not_matter(
    spark, settings, topics, read_elsewhere
):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    wanted = (SECURITY_EVENTS, USER_EVENTS, "transactions-stream")
    topics.create(SECURITY_EVENTS, 2)
    topics.create(USER_EVENTS)  # stays empty; transactions-stream does not exist
    topics.produce(SECURITY_EVENTS, [b"\xff not json", None, b"x" * 7_000_000], 0)
    ingest(spark, settings, wanted)
    topics.produce(SECURITY_EVENTS, [b"later"], 1)
    reached = ingest(spark, settings, wanted)
    ingest(spark, settings, wanted)

    rows = raw_records(spark, settings.lake_dir, SECURITY_EVENTS).collect()
    assert sorted((row.partition, row.offset) for row in rows) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    values = {(row.partition, row.offset): row.value for row in rows}
    assert values[0, 0] == b"\xff not json"
    assert values[0, 1] is None
    assert len(values[0, 2]) == 7_000_000
    assert all(row.topic == SECURITY_EVENTS and row.broker_timestamp for row in rows)
    assert reached[SECURITY_EVENTS].next == {0: 3, 1: 1}
    assert reached[SECURITY_EVENTS].first == {0: 0, 1: 0}
    assert reached[USER_EVENTS].next == {}
    assert reached["transactions-stream"].next == {}
    assert read_elsewhere(settings.lake_dir / "master" / SECURITY_EVENTS, "offset") == [0, 0, 1, 2]


def test_deleted_records_stop_a_topic_but_not_the_others(spark, settings, topics):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    topics.create(SECURITY_EVENTS)
    topics.create(USER_EVENTS)
    topics.produce(SECURITY_EVENTS, [b"1", b"2"])
    ingest(spark, settings, [SECURITY_EVENTS])
    topics.produce(SECURITY_EVENTS, [b"3", b"4", b"5"])
    topics.delete_before(SECURITY_EVENTS, 4)
    topics.produce(USER_EVENTS, [b"a"])

    with pytest.raises(IngestionError, match=r"security-events\[0\]: offsets 2 to 3 were deleted"):
        ingest(spark, settings, [SECURITY_EVENTS, USER_EVENTS])
    assert coverage(settings.lake_dir, USER_EVENTS).next == {0: 1}

    reached = ingest(spark, settings, [SECURITY_EVENTS], accept_data_loss=True)
    assert reached[SECURITY_EVENTS].next == {0: 5}
    offsets = [
        row.offset for row in raw_records(spark, settings.lake_dir, SECURITY_EVENTS).collect()
    ]
    assert sorted(offsets) == [0, 1, 4]


def recreate(topics, name: str) -> None:
    """Delete a topic and create it anew; the broker deletes in its own time."""
    admin = AdminClient({"bootstrap.servers": topics.bootstrap_servers})
    admin.delete_topics([name])[name].result(60)
    deadline = time.monotonic() + 60
    while True:
        try:
            return topics.create(name)
        except StackBrokerError:
            assert time.monotonic() < deadline, f"{name} is never gone"
            time.sleep(0.1)  # polled with a deadline


def test_a_topic_created_anew_is_noticed_though_its_log_is_longer(spark, settings, topics):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    topics.create(SECURITY_EVENTS)
    topics.create(USER_EVENTS)
    topics.produce(SECURITY_EVENTS, [b"old 0", b"old 1"])
    ingest(spark, settings, [SECURITY_EVENTS])
    recreate(topics, SECURITY_EVENTS)
    topics.produce(SECURITY_EVENTS, [b"new 0", b"new 1", b"new 2"])
    topics.produce(USER_EVENTS, [b"a"])

    for accept_data_loss in (False, True):
        with pytest.raises(IngestionError, match=r"^security-events is another topic .* anew"):
            ingest(
                spark,
                settings,
                [SECURITY_EVENTS, USER_EVENTS],
                accept_data_loss=accept_data_loss,
            )
    rows = raw_records(spark, settings.lake_dir, SECURITY_EVENTS).collect()
    assert sorted(row.value for row in rows) == [b"old 0", b"old 1"]
    assert coverage(settings.lake_dir, USER_EVENTS).next == {0: 1}

    for folder in (table_path, checkpoint_path):
        shutil.rmtree(folder(settings.lake_dir, SECURITY_EVENTS))
    assert ingest(spark, settings, [SECURITY_EVENTS])[SECURITY_EVENTS].next == {0: 3}


def test_a_broker_that_is_down_is_named_within_the_time_given(spark, settings):
    down = settings.model_copy(
        update={
            "kafka_bootstrap_servers": "127.0.0.1:9",
            "kafka_timeout": settings.kafka_timeout / 15,
        }
    )
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:9 did not answer within 2 s"):
        ingest(spark, down, [SECURITY_EVENTS])


def test_a_broker_that_goes_away_in_mid_ingestion_costs_nothing(spark, settings, broker):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": broker.bootstrap_servers})
    broker.create_topic("outage", 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(10_000):
        producer.produce("outage", b"%d" % number, partition=number % 2)
    assert producer.flush(60) == 0
    with ThreadPoolExecutor(max_workers=1) as pool:
        reached = pool.submit(ingest, spark, settings, ["outage"])
        deadline = time.monotonic() + 60
        while not spark.streams.active:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # polled with a deadline
        broker.kill()
        assert not reached.done()
        broker.start()

        assert reached.result(240)["outage"].next == {0: 5_000, 1: 5_000}
    rows = raw_records(spark, settings.lake_dir, "outage")
    assert (rows.count(), rows.distinct().count()) == (10_000, 10_000)


def test_damaged_progress_is_named(settings):
    checkpoint = checkpoint_path(settings.lake_dir, SECURITY_EVENTS)
    for folder, name in (("commits", "0"), ("offsets", "0")):
        (checkpoint / folder).mkdir(parents=True)
        (checkpoint / folder / name).write_text("v1\n{")
    with pytest.raises(IngestionError, match=r"progress .* is damaged"):
        coverage(settings.lake_dir, SECURITY_EVENTS)


def test_a_workers_error_is_told_in_one_line():
    text = (
        "An exception was thrown\n\nJVM stacktrace:\norg.apache.spark.SparkException: Job aborted\n"
        "Traceback (most recent call last):\n  File x\nOSError: [Errno 28] No space left on device\n"
        "\n\tat org.apache.spark.api.python.BasePythonRunner\n"
    )
    assert first_line(RuntimeError(text)) == "OSError: [Errno 28] No space left on device"
    java = (
        "An error occurred while calling o66.collectToPython.\n: java.io.IOException: bad\n\tat x"
    )
    assert first_line(RuntimeError(java)) == "java.io.IOException: bad"
