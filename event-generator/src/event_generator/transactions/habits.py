"""Customers with habits, and stores with regulars: what fraud differs from.

Habits do not depend on the seed: a baseline learned from one run holds for the next.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from event_generator.draws import Codes, from_cumulative, generator, weighted
from event_generator.transactions import vocabulary as words
from event_generator.transactions.catalogue import Places, local_stores

HABIT_SEED = 47
CONCENTRATION = 0.6
"""Shape of the gamma factors on the weights of categories, channels and payments: the smaller,
the more a customer sticks to few of them."""
HOURS_ACTIVE = 11
OFF_HOURS_WEIGHT = 0.03
"""How active a customer is outside the active hours, against 1 inside."""
PHONES, COMPUTERS = (0, 1), (2, 3)
"""Codes of ``DEVICE_TYPES``."""
USUAL_DEVICE_SHARE = 0.95
USUAL_STORE_SHARE = 0.80
TRIP_SHARE = 0.03
"""Share of purchases while travelling."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Towns:
    """All towns as columns; a town's code is its place in ``vocabulary.CITIES``."""

    region: Codes
    city: list[str]
    state: list[str]
    postal: list[str]

    @classmethod
    def all(cls) -> "Towns":
        """Return every town, region by region."""
        rows = [(place, *town) for place, name in enumerate(words.REGIONS)
                for town in words.CITIES[name]]  # fmt: skip
        regions, cities, states, codes = zip(*rows, strict=True)
        return cls(np.array(regions), list(cities), list(states), [f"{code}001" for code in codes])


class Habits:
    """Every customer's habits as columns.

    Attributes:
        category, channel, payment: [customers, values] running sums of weights.
        level: [customers] where in a category's range of prices a customer buys, 0 to 1.
        phone, computer: [customers] the device types.
        card: [customers] the card network.
        store: [customers] the usual store.
        town: [customers] where the customer lives.
    """

    def __init__(self, customers: Places, stores: Places, towns: Towns) -> None:
        number = len(customers.ids)
        rng = generator(HABIT_SEED, number, len(stores.ids))
        self.category = _preferences(rng, words.CATEGORY_WEIGHTS, number)
        self.channel = _preferences(rng, words.CHANNEL_WEIGHTS, number)
        self.payment = _preferences(rng, words.PAYMENT_WEIGHTS, number)
        self.level = rng.beta(2, 3, number)
        self.phone = np.array(PHONES)[weighted(rng, (0.7, 0.3), number)]
        self.computer = np.array(COMPUTERS)[weighted(rng, (0.85, 0.15), number)]
        self.card = weighted(rng, words.CARD_WEIGHTS, number)
        self.store = local_stores(rng, stores, customers.regions)
        code_of = {city: code for code, city in enumerate(towns.city)}
        self.town = np.array([code_of[city] for city in customers.cities.tolist()])
        self._activity = rng.lognormal(0.0, 0.6, number)
        self._from = weighted(rng, words.HOUR_WEIGHTS, number) - HOURS_ACTIVE // 2
        self._until_hour: dict[int, Floats] = {}

    def buyers(self, rng: np.random.Generator, times: NDArray[np.int64]) -> Codes:
        """Draw one customer for each event time, by who is active at that hour (UTC)."""
        hours, uniform = times // 3_600_000 % 24, rng.random(len(times))
        buyers = np.empty(len(times), np.int64)
        for hour in np.unique(hours).tolist():
            now = hours == hour
            buyers[now] = from_cumulative(self._weights_until(hour), uniform[now])
        return buyers

    def is_active(self, customer: int, hour: int) -> bool:
        """Tell whether an hour lies in a customer's active hours."""
        return bool((hour - self._from[customer]) % 24 < HOURS_ACTIVE)

    def _weights_until(self, hour: int) -> Floats:
        if hour not in self._until_hour:
            inside = (hour - self._from) % 24 < HOURS_ACTIVE
            self._until_hour[hour] = np.cumsum(
                self._activity * np.where(inside, 1.0, OFF_HOURS_WEIGHT)
            )
        return self._until_hour[hour]


def by_habit(rng: np.random.Generator, cumulative: Floats) -> Codes:
    """Draw one value for each row of running sums."""
    wanted = rng.random(len(cumulative)) * cumulative[:, -1]
    codes: Codes = np.minimum((cumulative <= wanted[:, None]).sum(axis=1), cumulative.shape[1] - 1)
    return codes


def _preferences(rng: np.random.Generator, weights: tuple[float, ...], number: int) -> Floats:
    taste = rng.gamma(CONCENTRATION, 1.0, (number, len(weights)))
    sums: Floats = np.cumsum(np.array(weights) * taste + 1e-4, axis=1)
    return sums
