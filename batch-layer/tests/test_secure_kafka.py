"""Both clients of the batch layer, librdkafka and Spark's, at a broker with TLS and a login."""

from datetime import timedelta

import pytest

from batch_layer.errors import BrokerError
from batch_layer.kafka import connection_options, send, source_options, topic_offsets
from contracts.kafka_access import kafka_access

pytestmark = pytest.mark.integration

TOPIC = "behind-tls"
TIMEOUT = timedelta(seconds=30)


@pytest.fixture
def topic(broker):
    broker.create_topic(TOPIC)
    return TOPIC


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


def test_records_go_both_ways_over_tls(topic, secured, login, spark):
    servers = secured.bootstrap_servers
    assert send(servers, topic, [(b"ada", b"by librdkafka")], TIMEOUT) == 1
    frame = spark.createDataFrame([(b"ada", b"by Spark")], "key binary, value binary")
    options = connection_options(servers)
    frame.write.format("kafka").options(**options).option("topic", topic).save()

    found = spark.read.format("kafka").options(**source_options(servers))
    values = {bytes(row.value) for row in found.option("subscribe", topic).load().collect()}

    assert topic_offsets(servers, [topic], TIMEOUT)[topic].next == {0: 2}
    assert values == {b"by librdkafka", b"by Spark"}


def test_a_wrong_password_is_an_error_without_the_password(secured, login):
    login("KAFKA_SASL_PASSWORD", "battery staple")

    with pytest.raises(BrokerError) as refused:
        topic_offsets(secured.bootstrap_servers, [TOPIC], timedelta(seconds=5))

    assert secured.bootstrap_servers in str(refused.value)
    assert "battery staple" not in str(refused.value)
