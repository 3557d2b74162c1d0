"""Draw transactions as columns: the one source of the stream's JSON and the seeder's table."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contracts import transactions as contract
from event_generator.clock import DAY_MS
from event_generator.draws import (
    Codes,
    Flags,
    Objects,
    chance,
    from_cumulative,
    generator,
    pool,
    uniform_integers,
    weighted,
)
from event_generator.identifiers import first_number, uuid4_texts
from event_generator.transactions import catalogue
from event_generator.transactions import vocabulary as words

BATCH_SIZE = 5_000

FRAUD = "fraud"
"""Kind of all fraud that this source draws."""

Column = NDArray[np.generic] | Objects

CATEGORIES = pool(contract.CATEGORIES)
PAYMENTS = pool(contract.PAYMENT_METHODS)
STATUSES = pool(contract.STATUSES)
CHANNELS = pool(contract.CHANNELS)
REGIONS = pool(words.REGIONS)
TIERS = pool(contract.TIERS)
CARDS = pool(contract.CARD_NETWORKS)
DEVICES = pool(contract.DEVICE_TYPES)


class Clock(Protocol):
    """Gives the event time of every event."""

    def times(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the event times of events ``first`` to ``first + count``, Unix ms."""
        ...


@dataclass(frozen=True, slots=True)
class TransactionScenario:
    """Everything that decides which transactions come out.

    Attributes:
        seed: Seed of every draw.
        clock: Event time of the n-th transaction.
        fraud_rate: Share of fraudulent transactions.
        customers: Number of customers.
        products: Number of products, at least one for each category.
        stores: Number of stores.
        batch_id: Value of ``batch_id``; null in a stream.
        written_ms: Value of ``processing_timestamp``, Unix ms; null in a stream.
    """

    seed: int
    clock: Clock
    fraud_rate: float = 0.02
    customers: int = 5_000
    products: int = 500
    stores: int = 50
    batch_id: str | None = None
    written_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A batch of transactions.

    Attributes:
        columns: Values by field; times are Unix ms (int64), absent values None.
        kinds: Kind of fraud of each transaction, None for honest ones.
    """

    columns: dict[str, Column]
    kinds: Objects


class Source(Protocol):
    """Draws transactions; the same index gives the same batch."""

    def draw(self, index: int) -> Drawn:
        """Return transactions ``index * BATCH_SIZE`` and following."""
        ...


class TransactionSource:
    """Columns of transactions, batch by batch."""

    def __init__(self, scenario: TransactionScenario) -> None:
        self.scenario = scenario
        self._identity = first_number("transactions", scenario.seed, scenario.clock)
        self._products = catalogue.products(scenario.products)
        self._customers, self._tiers = catalogue.customers(scenario.customers)
        self._stores = catalogue.stores(scenario.stores)
        self._weekday = _boosted(words.WEEKDAY_BOOST)
        self._weekend = _boosted(words.WEEKEND_BOOST)

    def draw(self, index: int) -> Drawn:
        """Return transactions ``index * BATCH_SIZE`` and following."""
        rng = generator(self.scenario.seed, index)
        id_rng = generator(self.scenario.seed, index, self._identity)
        times = self.scenario.clock.times(index * BATCH_SIZE, BATCH_SIZE)
        drawn: dict[str, Column] = {
            "transaction_id": pool(uuid4_texts(id_rng, BATCH_SIZE)),
            "event_timestamp": times,
            "processing_timestamp": constant(self.scenario.written_ms),
            "currency": constant(words.CURRENCY),
            "batch_id": constant(self.scenario.batch_id),
            **self._sale(rng, times),
            **self._how(rng),
            **_fraud(rng, self.scenario.fraud_rate),
        }
        kinds = constant(None)
        kinds[drawn["is_fraudulent"].astype(bool)] = FRAUD
        return Drawn({name: drawn[name] for name in contract.TRANSACTION_SCHEMA.names}, kinds)

    def _sale(self, rng: np.random.Generator, times: NDArray[np.int64]) -> dict[str, Column]:
        """Draw what is sold and what it costs."""
        size = len(times)
        categories = self._categories(rng, times)
        goods, within = self._products, rng.random(size)
        product = goods.first[categories] + (within * goods.count[categories]).astype(np.int64)
        quantity = 1 + weighted(rng, words.QUANTITY_WEIGHTS, size)
        discount = discounts(rng, size)
        price = goods.prices[product]
        total = np.round(quantity * price * (1 - discount / 100), 2)
        return {
            "product_id": goods.ids[product],
            "product_name": goods.names[product],
            "category": CATEGORIES[categories],
            "sub_category": goods.sub_categories[product],
            "brand": goods.brands[product],
            "quantity": quantity,
            "unit_price": price,
            "discount_percent": discount,
            "total_amount": total,
            "tax_amount": np.round(total * words.TAX_RATE, 2),
            "transaction_status": STATUSES[weighted(rng, words.STATUS_WEIGHTS, size)],
        }

    def _categories(self, rng: np.random.Generator, times: NDArray[np.int64]) -> Codes:
        """Draw categories by day of the week; 1970-01-01 was a Thursday."""
        uniform = rng.random(len(times))
        is_weekend = (times // DAY_MS + 3) % 7 >= 5
        weekend = from_cumulative(self._weekend, uniform)
        return np.where(is_weekend, weekend, from_cumulative(self._weekday, uniform))

    def _how(self, rng: np.random.Generator) -> dict[str, Column]:
        """Draw who buys, where, on what, and how it is paid."""
        size = BATCH_SIZE
        buyer = uniform_integers(rng, 0, self.scenario.customers - 1, size)
        channel = CHANNELS[weighted(rng, words.CHANNEL_WEIGHTS, size)]
        payment = PAYMENTS[weighted(rng, words.PAYMENT_WEIGHTS, size)]
        card = CARDS[weighted(rng, words.CARD_WEIGHTS, size)]
        card[~np.isin(payment, words.CARD_PAYMENTS)] = None
        regions = self._customers.regions[buyer]
        in_store = channel == "pos_in_store"
        store = catalogue.local_stores(rng, self._stores, regions)
        shop, home = self._stores, self._customers
        is_online = np.isin(channel, words.ONLINE_CHANNELS)
        return {
            "customer_id": home.ids[buyer],
            "customer_tier": TIERS[self._tiers[buyer]],
            "payment_method": payment,
            "card_network": card,
            "channel": channel,
            "store_id": only(in_store, shop.ids[store]),
            "region": REGIONS[regions],
            "city": np.where(in_store, shop.cities[store], home.cities[buyer]),
            "state": np.where(in_store, shop.states[store], home.states[buyer]),
            "postal_code": np.where(in_store, shop.postal_codes[store], home.postal_codes[buyer]),
            "device_type": _devices(rng, channel),
            "session_id": only(is_online, pool(sessions(rng, size))),
            "ip_address": only(is_online, pool(addresses(rng, size))),
        }


def _boosted(boost: dict[str, float]) -> NDArray[np.float64]:
    weights = [
        weight * boost.get(category, 1.0)
        for category, weight in zip(contract.CATEGORIES, words.CATEGORY_WEIGHTS, strict=True)
    ]
    return np.cumsum(weights)


def discounts(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Draw discounts in percent."""
    ranges = np.array(words.DISCOUNT_RANGES)[weighted(rng, words.DISCOUNT_WEIGHTS, size)]
    low, high = ranges[:, 0], ranges[:, 1]
    percent: NDArray[np.float64] = low + np.floor(rng.random(size) * (high - low + 1))
    return percent


def _devices(rng: np.random.Generator, channel: Objects) -> Objects:
    devices = np.full(len(channel), None, dtype=object)
    for name, weights in words.DEVICE_WEIGHTS.items():
        drawn = DEVICES[weighted(rng, weights, len(channel))]
        devices[channel == name] = drawn[channel == name]
    return devices


def _fraud(rng: np.random.Generator, rate: float) -> dict[str, Column]:
    is_fraudulent = chance(rng, rate, BATCH_SIZE)
    uniform = rng.random(BATCH_SIZE)
    score = np.where(is_fraudulent, 0.7 + 0.3 * uniform, 0.15 * uniform)
    return {"is_fraudulent": is_fraudulent, "fraud_score": np.round(score, 4)}


def constant(value: object) -> Objects:
    """Return a column of one value."""
    return np.full(BATCH_SIZE, value, dtype=object)


def only(where: Flags, column: Objects) -> Objects:
    """Return ``column`` with None wherever ``where`` is false."""
    column[~where] = None
    return column


def sessions(rng: np.random.Generator, size: int) -> list[str]:
    """Draw session ids."""
    digits = rng.bytes(8 * size).hex()
    return [f"sess-{digits[start : start + 16]}" for start in range(0, 16 * size, 16)]


def addresses(rng: np.random.Generator, size: int) -> list[str]:
    """Draw IPv4 addresses."""
    parts = uniform_integers(rng, 0, 2**24 - 1, size).tolist()
    return [f"49.{part >> 16}.{part >> 8 & 255}.{part & 255}" for part in parts]
