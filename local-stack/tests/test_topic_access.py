"""Each service may do what it needs on a real broker, and nothing else."""

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from contracts.topics import (
    ALL_TOPICS,
    SECURITY_ALERTS,
    SECURITY_EVENTS,
    TRANSACTIONS_STREAM,
    dead_letter_topic,
)
from local_stack.__main__ import parser
from local_stack.errors import BrokerError
from local_stack.secure_testing import secure_listener
from local_stack.testing import Broker
from local_stack.topic_access import ACCESS, allow

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    return secure_listener(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory, secured):
    folder = tmp_path_factory.mktemp("kafka")
    listeners = {"SASL_SSL": secured.port}
    with Broker(folder, listeners=listeners, properties=secured.properties) as running:
        for topic in ALL_TOPICS:
            running.create_topic(topic.name)
        yield running


@pytest.fixture(scope="module")
def options(secured):
    return {
        "bootstrap.servers": secured.bootstrap_servers,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(secured.ca_file),
        "sasl.mechanism": "PLAIN",
        "sasl.username": secured.username,
        "sasl.password": secured.password,
        "log_level": 0,
    }


def written(options, topic):
    """Return what became of a record: None, or the broker's refusal."""
    outcome = []
    producer = Producer(options | {"enable.idempotence": True, "message.timeout.ms": 20_000})
    try:
        producer.produce(topic, b"x", on_delivery=lambda error, _: outcome.append(error))
        producer.flush(30)
    except KafkaException as error:
        return error.args[0].code()
    return outcome[0] and outcome[0].code()


def read(options, group, topic):
    """Return what came first: None for a record, or the broker's refusal."""
    consumer = Consumer(options | {"group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        while (message := consumer.poll(30)) is not None:
            return message.error() and message.error().code()
        raise AssertionError(f"nothing came of {topic} within 30 s")
    finally:
        consumer.close()


def test_a_principal_may_do_what_its_service_needs_and_no_more(broker, secured, options, console):
    assert written(options, SECURITY_ALERTS) == KafkaError.TOPIC_AUTHORIZATION_FAILED

    allow(broker.bootstrap_servers, "speed-layer", f"User:{secured.username}", console)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    producer.produce(SECURITY_EVENTS, b"x")
    assert producer.flush(30) == 0

    assert written(options, SECURITY_ALERTS) is None
    assert written(options, dead_letter_topic(SECURITY_EVENTS)) is None
    assert read(options, "speed-layer", SECURITY_EVENTS) is None
    assert written(options, SECURITY_EVENTS) == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert read(options, "speed-layer", TRANSACTIONS_STREAM) in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    )
    assert read(options, "mine", SECURITY_EVENTS) == KafkaError.GROUP_AUTHORIZATION_FAILED


def test_allowing_again_changes_nothing(broker, secured, console):
    for _ in range(2):
        allow(broker.bootstrap_servers, "serving-layer", f"User:{secured.username}2", console)


def test_a_broker_without_an_access_list_is_an_error(tmp_path, console):
    with Broker(tmp_path) as open_to_all, pytest.raises(BrokerError, match="speed-layer needs"):
        allow(open_to_all.bootstrap_servers, "speed-layer", "User:speed", console)


def test_every_topic_is_read_or_written_by_somebody():
    named = {grant.name for name, found in ACCESS.items() if name != "topics" for grant in found}

    assert {topic.name for topic in ALL_TOPICS} <= named


def test_the_command_knows_the_services():
    chosen = parser().parse_args(["allow", "speed-layer", "User:speed"])

    assert (chosen.service, chosen.principal) == ("speed-layer", "User:speed")
