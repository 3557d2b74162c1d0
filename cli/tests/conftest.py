from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from local_stack.testing import Broker
from streamguard_cli.sshd.adapter import SshdAdapter
from streamguard_cli.sshd.dates import Years

REFERENCE = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def adapter() -> Callable[..., SshdAdapter]:
    """Build an adapter whose log was last written on 1 March 2026."""
    return lambda year=None, zone=UTC: SshdAdapter(Years(REFERENCE, year), zone)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running
