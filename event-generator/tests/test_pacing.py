from event_generator.pacing import LONGEST_WAIT_SECONDS, Pacer


class ManualClock:
    """Time passes only when somebody waits."""

    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def never() -> bool:
    return False


def releases(rate: float, seconds: float, limit: int = 5_000) -> list[tuple[float, int]]:
    clock = ManualClock()
    pacer = Pacer(rate, now=clock, wait=clock.wait)
    released = []
    while pacer.elapsed() < seconds:
        count = pacer.due(limit, never)
        released.append((pacer.elapsed(), count))
    return released


def test_a_low_rate_is_released_one_by_one():
    assert {count for _, count in releases(rate=50, seconds=10)} == {1}


def test_a_high_rate_is_released_in_small_steps():
    counts = [count for _, count in releases(rate=50_000, seconds=2)]

    assert abs(sum(counts) - 100_000) <= 300
    assert max(counts) <= 300


def test_events_are_released_when_they_are_due_and_not_before():
    total = 0
    for elapsed, count in releases(rate=333, seconds=5):
        total += count
        assert total <= elapsed * 333 + 1


def test_a_hold_up_is_made_up_for():
    clock = ManualClock()
    pacer = Pacer(10, now=clock, wait=clock.wait)
    pacer.due(1, never)
    clock.now += 60

    assert pacer.due(5_000, never) == 600


def test_rate_zero_releases_everything_at_once():
    clock = ManualClock()

    assert Pacer(0, now=clock, wait=clock.wait).due(5_000, never) == 5_000
    assert clock.now == 100.0


def test_a_stop_ends_the_waiting():
    clock = ManualClock()
    pacer = Pacer(0.001, now=clock, wait=clock.wait)
    pacer.due(1, never)

    assert pacer.due(1, stopped=lambda: clock.now > 101) == 0
    assert clock.now < 101 + 2 * LONGEST_WAIT_SECONDS
