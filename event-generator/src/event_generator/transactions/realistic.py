"""Transactions of customers with habits, and fraud that shows in nothing but leaving them."""

import numpy as np
from numpy.typing import NDArray

from contracts import transactions as contract
from event_generator.draws import (
    Codes,
    chance,
    generator,
    pool,
    uniform_integers,
    weighted,
)
from event_generator.identifiers import first_number, uuid4_texts
from event_generator.transactions import catalogue
from event_generator.transactions import vocabulary as words
from event_generator.transactions.columns import (
    BATCH_SIZE,
    CARDS,
    CATEGORIES,
    CHANNELS,
    DEVICES,
    PAYMENTS,
    REGIONS,
    STATUSES,
    TIERS,
    Column,
    Drawn,
    TransactionScenario,
    addresses,
    constant,
    discounts,
    only,
    sessions,
)
from event_generator.transactions.draft import NONE, Draft
from event_generator.transactions.fraud_cases import FraudCases
from event_generator.transactions.habits import (
    PHONES,
    TRIP_SHARE,
    USUAL_DEVICE_SHARE,
    USUAL_STORE_SHARE,
    Habits,
    Towns,
    by_habit,
)

_LEVEL_SPREAD = 0.12
"""Standard deviation of a customer's prices around the usual level."""
_IN_STORE = contract.CHANNELS.index("pos_in_store")
_APP = contract.CHANNELS.index("mobile_app")
_ONLINE = [contract.CHANNELS.index(name) for name in words.ONLINE_CHANNELS]


class RealisticSource:
    """Columns of transactions, batch by batch; a label tells the kind of fraud."""

    def __init__(self, scenario: TransactionScenario) -> None:
        self.scenario = scenario
        self._identity = first_number("realistic", scenario.seed, scenario.clock)
        self._products = catalogue.products(scenario.products)
        self._by_price = np.lexsort(
            (
                self._products.prices,
                np.repeat(np.arange(len(self._products.count)), self._products.count),
            )
        )
        self._customers, self._tiers = catalogue.customers(scenario.customers)
        self._stores = catalogue.stores(scenario.stores)
        self._towns = Towns.all()
        self._cities, self._states = pool(self._towns.city), pool(self._towns.state)
        self._postal = pool(self._towns.postal)
        code_of = {city: code for code, city in enumerate(self._towns.city)}
        self._store_towns = np.array([code_of[city] for city in self._stores.cities.tolist()])
        self._habits = Habits(self._customers, self._stores, self._towns)
        self._fraud = FraudCases(self._habits, self._towns, self._store_towns)

    def draw(self, index: int) -> Drawn:
        """Return transactions ``index * BATCH_SIZE`` and following."""
        rng = generator(self.scenario.seed, index)
        id_rng = generator(self.scenario.seed, index, self._identity)
        times = self.scenario.clock.times(index * BATCH_SIZE, BATCH_SIZE)
        draft = self._purchases(rng, times)
        self._fraud.commit(rng, draft, int(chance(rng, self.scenario.fraud_rate, BATCH_SIZE).sum()))
        drawn: dict[str, Column] = {
            "transaction_id": pool(uuid4_texts(id_rng, BATCH_SIZE)),
            "event_timestamp": times,
            "processing_timestamp": constant(self.scenario.written_ms),
            "currency": constant(words.CURRENCY),
            "batch_id": constant(self.scenario.batch_id),
            "is_fraudulent": np.array([kind is not None for kind in draft.kind.tolist()]),
            # A producer's score that knows nothing: the same draw for fraud as for the rest.
            "fraud_score": np.round(0.15 * rng.random(BATCH_SIZE), 4),
            **self._sale(rng, draft),
            **self._how(rng, draft),
        }
        columns = {name: drawn[name] for name in contract.TRANSACTION_SCHEMA.names}
        return Drawn(columns, draft.kind)

    def _purchases(self, rng: np.random.Generator, times: NDArray[np.int64]) -> Draft:
        """Draw honest purchases, each by its buyer's habits."""
        habits, size = self._habits, len(times)
        buyer = habits.buyers(rng, times)
        channel = by_habit(rng, habits.channel[buyer])
        payment = by_habit(rng, habits.payment[buyer])
        any_store = catalogue.local_stores(rng, self._stores, self._customers.regions[buyer])
        is_usual = chance(rng, USUAL_STORE_SHARE, size)
        store = np.where(is_usual, habits.store[buyer], any_store)
        store = np.where(channel == _IN_STORE, store, NONE)
        trips = uniform_integers(rng, 0, len(self._towns.city) - 1, size)
        town = np.where(chance(rng, TRIP_SHARE, size), trips, habits.town[buyer])
        level = habits.level[buyer] + rng.normal(0.0, _LEVEL_SPREAD, size)
        return Draft(
            times=times,
            buyer=buyer,
            category=by_habit(rng, habits.category[buyer]),
            rank=np.clip(level, 0.0, 0.999),
            quantity=1 + weighted(rng, words.QUANTITY_WEIGHTS, size),
            channel=channel,
            payment=payment,
            device=self._devices(rng, buyer, channel),
            store=store,
            town=np.where(store == NONE, town, self._store_towns[store]),
            kind=np.full(size, None, dtype=object),
        )

    def _devices(self, rng: np.random.Generator, buyer: Codes, channel: Codes) -> Codes:
        is_app, size = channel == _APP, len(buyer)
        usual = np.where(is_app, self._habits.phone[buyer], self._habits.computer[buyer])
        phones = np.array(PHONES)[uniform_integers(rng, 0, len(PHONES) - 1, size)]
        any_device = uniform_integers(rng, 0, len(contract.DEVICE_TYPES) - 1, size)
        other = np.where(is_app, phones, any_device)
        device = np.where(chance(rng, USUAL_DEVICE_SHARE, size), usual, other)
        return np.where(np.isin(channel, _ONLINE), device, NONE)

    def _sale(self, rng: np.random.Generator, draft: Draft) -> dict[str, Column]:
        """Return what is sold and what it costs."""
        goods = self._products
        place = goods.first[draft.category]
        place = place + (draft.rank * goods.count[draft.category]).astype(np.int64)
        product, discount = self._by_price[place], discounts(rng, len(place))
        price = goods.prices[product]
        total = np.round(draft.quantity * price * (1 - discount / 100), 2)
        return {
            "product_id": goods.ids[product],
            "product_name": goods.names[product],
            "category": CATEGORIES[draft.category],
            "sub_category": goods.sub_categories[product],
            "brand": goods.brands[product],
            "quantity": draft.quantity,
            "unit_price": price,
            "discount_percent": discount,
            "total_amount": total,
            "tax_amount": np.round(total * words.TAX_RATE, 2),
            "transaction_status": STATUSES[weighted(rng, words.STATUS_WEIGHTS, len(place))],
        }

    def _how(self, rng: np.random.Generator, draft: Draft) -> dict[str, Column]:
        """Return who buys, where, on what, and how it is paid."""
        payment, is_online = PAYMENTS[draft.payment], draft.device != NONE
        is_home = (draft.store == NONE) & (draft.town == self._habits.town[draft.buyer])
        return {
            "customer_id": self._customers.ids[draft.buyer],
            "customer_tier": TIERS[self._tiers[draft.buyer]],
            "payment_method": payment,
            "card_network": only(
                np.isin(payment, words.CARD_PAYMENTS), CARDS[self._habits.card[draft.buyer]]
            ),
            "channel": CHANNELS[draft.channel],
            "store_id": only(draft.store != NONE, self._stores.ids[draft.store]),
            "region": REGIONS[self._towns.region[draft.town]],
            "city": self._cities[draft.town],
            "state": self._states[draft.town],
            "postal_code": np.where(
                is_home, self._customers.postal_codes[draft.buyer], self._postal[draft.town]
            ),
            "device_type": only(is_online, DEVICES[draft.device]),
            "session_id": only(is_online, pool(sessions(rng, len(payment)))),
            "ip_address": only(is_online, pool(addresses(rng, len(payment)))),
        }
