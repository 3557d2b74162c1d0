"""Both clients of the batch layer, librdkafka and Spark's, at a broker with TLS and a login."""

from datetime import timedelta

import pytest
from confluent_kafka import Producer
from rich.console import Console

from batch_layer.errors import BrokerError
from batch_layer.kafka import connection_options, send, source_options, topic_offsets
from contracts.kafka_access import kafka_access
from contracts.topics import ANALYTICS_INSIGHTS, TRANSACTIONS_BATCH
from local_stack.topic_access import allow

pytestmark = pytest.mark.integration

TIMEOUT = timedelta(seconds=30)


@pytest.fixture
def allowed(broker, secured):
    """The topics of the batch layer, whose login may do on them what it needs and no more."""
    broker.create_topic(ANALYTICS_INSIGHTS)
    broker.create_topic(TRANSACTIONS_BATCH)
    allow(broker.bootstrap_servers, "batch-layer", f"User:{secured.username}", Console())
    return broker


@pytest.fixture
def login(secured, monkeypatch):
    """Set the client's variables; returns how to change one."""

    def set_variable(name, value):
        monkeypatch.setenv(name, value)
        kafka_access.cache_clear()

    for name, value in secured.environment.items():
        set_variable(name, value)
    yield set_variable
    monkeypatch.undo()
    kafka_access.cache_clear()


def test_records_go_both_ways_over_tls(allowed, secured, login, spark):
    servers = secured.bootstrap_servers
    shop = Producer({"bootstrap.servers": allowed.bootstrap_servers})
    shop.produce(TRANSACTIONS_BATCH, b"sold")
    assert shop.flush(30) == 0

    found = spark.read.format("kafka").options(**source_options(servers))
    values = [
        bytes(row.value) for row in found.option("subscribe", TRANSACTIONS_BATCH).load().collect()
    ]
    before = topic_offsets(servers, [ANALYTICS_INSIGHTS], TIMEOUT)[ANALYTICS_INSIGHTS].next[0]
    assert send(servers, ANALYTICS_INSIGHTS, [(b"ada", b"by librdkafka")], TIMEOUT) == 1
    frame = spark.createDataFrame([(b"ada", b"by Spark")], "key binary, value binary")
    options = connection_options(servers)
    frame.write.format("kafka").options(**options).option("topic", ANALYTICS_INSIGHTS).save()

    assert b"sold" in values
    assert topic_offsets(servers, [ANALYTICS_INSIGHTS], TIMEOUT)[ANALYTICS_INSIGHTS].next == {
        0: before + 2
    }


def test_a_topic_that_is_not_the_batch_layers_to_write_is_refused(allowed, secured, login):
    with pytest.raises(BrokerError, match=TRANSACTIONS_BATCH):
        send(secured.bootstrap_servers, TRANSACTIONS_BATCH, [(b"ada", b"forged")], TIMEOUT)


def test_a_wrong_password_is_an_error_without_the_password(secured, login):
    login("KAFKA_SASL_PASSWORD", "battery staple")

    with pytest.raises(BrokerError) as refused:
        topic_offsets(secured.bootstrap_servers, [ANALYTICS_INSIGHTS], timedelta(seconds=5))

    assert secured.bootstrap_servers in str(refused.value)
    assert "battery staple" not in str(refused.value)
