from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

import pytest

from local_stack.testing import Broker


def _chi_square(values: Iterable[object], weights: Mapping[object, float]) -> float:
    counts = Counter(values)
    assert set(counts) <= set(weights), f"unexpected values: {set(counts) - set(weights)}"
    total, weight = counts.total(), sum(weights.values())
    expected = {value: share / weight * total for value, share in weights.items() if share}
    return sum((counts[value] - due) ** 2 / due for value, due in expected.items())


@pytest.fixture
def assert_shares() -> Callable[[Iterable[object], Mapping[object, float]], None]:
    """Check drawn values against their shares; six standard deviations of chi-square."""

    def check(values: Iterable[object], weights: Mapping[object, float]) -> None:
        freedom = max(1, len(weights) - 1)
        assert _chi_square(values, weights) < freedom + 6 * (2 * freedom) ** 0.5

    return check


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running
