"""Who works here: each user's home addresses, places, devices and hours.

Profiles do not depend on the seed: two runs with different seeds describe the same people, so
baselines learned from one hold for the next.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from event_generator.draws import Codes, Objects, from_cumulative, pool
from event_generator.security.vocabulary import HOME_PLACES, USER_AGENTS

NAMED_USERS = (
    ("admin", 0, 24),
    ("manager", 8, 18),
    ("alice", 8, 17),
    ("bob", 9, 18),
    ("charlie", 7, 16),
    ("diana", 9, 17),
    ("emma", 10, 19),
    ("frank", 6, 15),
    ("grace", 8, 16),
    ("henry", 11, 20),
    ("developer", 10, 22),
    ("analyst", 7, 19),
    ("operator", 22, 6),
    ("service", 0, 24),
)
"""Name, and the hours (UTC) from and until which the user is active."""

SHIFTS = ((8, 17), (9, 18), (7, 16), (10, 19), (22, 6), (0, 24))
OFF_HOURS_WEIGHT = 0.01
"""How active a user is outside the active hours, against 1 inside."""

PRIMARY_IP_SHARE = 0.80
PRIMARY_PLACE_SHARE = 0.90


@dataclass(frozen=True, slots=True)
class UserProfile:
    """One user's normal surroundings; the first address and place are the primary ones."""

    name: str
    home_ips: tuple[str, str, str]
    places: tuple[str, str]
    hostname: str
    user_agent: str
    active_from: int
    active_until: int

    def is_active(self, hour: int) -> bool:
        """Tell whether ``hour`` (UTC, 0 to 23) lies in the user's active hours."""
        if self.active_from < self.active_until:
            return self.active_from <= hour < self.active_until
        return hour >= self.active_from or hour < self.active_until


def profile(number: int) -> UserProfile:
    """Return user ``number``, counted from 0: a named one below 14, a generated one above."""
    block, host = divmod(number, 200)
    ips = (
        f"10.{20 + block // 250 % 100}.{block % 250}.{host + 10}",
        f"10.{120 + block // 250 % 100}.{block % 250}.{host + 10}",
        f"172.{16 + block // 250 % 16}.{block % 250}.{host + 10}",
    )
    if number < len(NAMED_USERS):
        name, active_from, active_until = NAMED_USERS[number]
        home, second, agent = number, number + 1, number
    else:
        name = f"user{number + 1:05d}"
        home, distance, agent, shift = hashlib.blake2b(name.encode(), digest_size=4).digest()
        second = home + 1 + distance % 7
        active_from, active_until = SHIFTS[shift * len(SHIFTS) // 256]
    return UserProfile(
        name=name,
        home_ips=ips,
        places=(HOME_PLACES[home % 8], HOME_PLACES[second % 8]),
        hostname=f"ws-{name}-01",
        user_agent=USER_AGENTS[agent % len(USER_AGENTS)],
        active_from=active_from,
        active_until=active_until,
    )


class Population:
    """All users as columns, so that one index picks many users' surroundings."""

    def __init__(self, profiles: Sequence[UserProfile]) -> None:
        self.profiles = profiles
        self.names = pool([user.name for user in profiles])
        self.hostnames = pool([user.hostname for user in profiles])
        self.user_agents = pool([user.user_agent for user in profiles])
        self._ips = np.array([user.home_ips for user in profiles], dtype=object)
        self._places = np.array([user.places for user in profiles], dtype=object)
        self._cumulative: dict[int, NDArray[np.float64]] = {}

    @classmethod
    def of_size(cls, users: int) -> "Population":
        """Return the first ``users`` users."""
        return cls([profile(number) for number in range(users)])

    def __len__(self) -> int:
        return len(self.profiles)

    def draw(self, rng: np.random.Generator, size: int) -> Codes:
        """Draw users with equal chances."""
        return (rng.random(size) * len(self)).astype(np.int64)

    def draw_at(self, rng: np.random.Generator, hours: NDArray[np.int64]) -> Codes:
        """Draw one user for each hour of the day, by who is active at it."""
        uniform = rng.random(len(hours))
        users = np.empty(len(hours), dtype=np.int64)
        for hour in np.unique(hours).tolist():
            at_hour = hours == hour
            users[at_hour] = from_cumulative(self._weights_until(hour), uniform[at_hour])
        return users

    def addresses(self, rng: np.random.Generator, users: Codes) -> Objects:
        """Draw a home address for each of ``users``."""
        return self._ips[users, _primary_or_other(rng, PRIMARY_IP_SHARE, 3, len(users))]

    def places(self, rng: np.random.Generator, users: Codes) -> Objects:
        """Draw a home place for each of ``users``."""
        return self._places[users, _primary_or_other(rng, PRIMARY_PLACE_SHARE, 2, len(users))]

    def _weights_until(self, hour: int) -> NDArray[np.float64]:
        if hour not in self._cumulative:
            weights = [1.0 if user.is_active(hour) else OFF_HOURS_WEIGHT for user in self.profiles]
            self._cumulative[hour] = np.cumsum(weights)
        return self._cumulative[hour]


def _primary_or_other(rng: np.random.Generator, share: float, ways: int, size: int) -> Codes:
    """Return 0 with chance ``share``, else one of the other ``ways - 1``."""
    return from_cumulative(
        np.cumsum([share] + [(1 - share) / (ways - 1)] * (ways - 1)), rng.random(size)
    )
