"""Test data: valid events, acknowledged by a real broker, a clear error without one."""

import pytest

from contracts.decoder import decode
from contracts.topics import SECURITY_EVENTS
from local_stack.testing import Broker
from serving_layer.errors import UpstreamError
from serving_layer.generated import made_up_event, produce_test_events


def test_made_up_events_are_valid():
    values = [made_up_event()[1] for _ in range(50)]

    decoded = decode(SECURITY_EVENTS, 0, range(50), values)

    assert (decoded.events.num_rows, decoded.rejects) == (50, [])


def test_without_a_broker_the_error_names_it():
    with pytest.raises(UpstreamError, match=r"127\.0\.0\.1:9 acknowledged 0 of 2"):
        produce_test_events("127.0.0.1:9", 2, timeout_seconds=0.5)


@pytest.mark.integration
def test_a_real_broker_acknowledges_every_event(tmp_path):
    with Broker(tmp_path) as broker:
        broker.create_topic(SECURITY_EVENTS, partitions=2)

        assert produce_test_events(broker.bootstrap_servers, 100) == 100
