"""Fraud as it happens: cases of several transactions that leave the victim's habits.

* ``stolen_card_burst``: a card is used 4 to 9 times within minutes, in a region where its owner
  does not live, in stores or from a device of the thief's.
* ``compromised_store``: cards that were read at one store are used elsewhere within hours, once or
  twice each, for small sums too, from one device and one town.
* ``account_takeover``: an account is used 3 to 6 times within hours, from a new device, mostly
  outside the owner's hours, with the means of payment on file.

Where a batch covers less event time than a case lasts, the case happens in the batch's time.
"""

import numpy as np

from contracts import transactions as contract
from event_generator.draws import Codes, uniform_integers, weighted
from event_generator.transactions import vocabulary as words
from event_generator.transactions.draft import NONE, Draft
from event_generator.transactions.habits import PHONES, Habits, Towns, by_habit

STOLEN_CARD_BURST = "stolen_card_burst"
COMPROMISED_STORE = "compromised_store"
ACCOUNT_TAKEOVER = "account_takeover"
KINDS = (STOLEN_CARD_BURST, COMPROMISED_STORE, ACCOUNT_TAKEOVER)
WEIGHTS = (0.45, 0.25, 0.30)
"""How often each kind of case happens."""

_RESALE = (0.45, 0.15, 0.05, 0.05, 0.08, 0.12, 0.02, 0.01, 0.05, 0.02)
"""What is bought with stolen means, in the order of ``CATEGORIES``: what sells again."""
_IN_STORE, _WEB, _APP = (contract.CHANNELS.index(n) for n in ("pos_in_store", "web", "mobile_app"))
_DEVICES = list(range(len(contract.DEVICE_TYPES)))
_CARDS = 2
"""The first so many of ``PAYMENT_METHODS`` are cards."""
_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000
_OFF_HOURS_TRIES = 8


class FraudCases:
    """Writes cases of fraud over a batch of honest purchases."""

    def __init__(self, habits: Habits, towns: Towns, store_towns: Codes) -> None:
        self._habits, self._towns, self._store_towns = habits, towns, store_towns

    def commit(self, rng: np.random.Generator, draft: Draft, wanted: int) -> None:
        """Turn about ``wanted`` purchases of a batch, never more, into fraud."""
        write = {
            STOLEN_CARD_BURST: self._stolen_card_burst,
            COMPROMISED_STORE: self._compromised_store,
            ACCOUNT_TAKEOVER: self._account_takeover,
        }
        left = wanted
        while left > 0:
            kind = KINDS[int(weighted(rng, WEIGHTS, 1)[0])]
            places = _places(rng, draft, kind)[:left]
            if len(places):
                draft.kind[places] = kind
                self._loot(rng, draft, places)
                write[kind](rng, draft, places)
            left -= max(1, len(places))

    def _stolen_card_burst(self, rng: np.random.Generator, draft: Draft, places: Codes) -> None:
        victim = self._victim(rng, draft, places)
        far = self._town_elsewhere(rng, int(self._habits.town[victim]))
        stores = np.flatnonzero(self._store_towns == far)
        draft.rank[places] = 0.45 + 0.55 * rng.random(len(places))
        draft.payment[places] = int(rng.integers(_CARDS))
        if len(stores) and rng.random() < 0.5:
            draft.channel[places], draft.device[places] = _IN_STORE, NONE
            draft.store[places] = stores[uniform_integers(rng, 0, len(stores) - 1, len(places))]
        else:
            self._online(rng, draft, places, _DEVICES)
        draft.town[places] = far

    def _compromised_store(self, rng: np.random.Generator, draft: Draft, places: Codes) -> None:
        store = int(rng.integers(len(self._store_towns)))
        regulars = np.flatnonzero(self._habits.store == store)
        if not len(regulars):
            regulars = np.arange(len(self._habits.store))
        victims = regulars[uniform_integers(rng, 0, len(regulars) - 1, (len(places) + 1) // 2)]
        draft.buyer[places] = np.resize(victims, len(places))
        draft.rank[places] = 0.1 + 0.85 * rng.random(len(places))
        draft.payment[places] = uniform_integers(rng, 0, _CARDS - 1, len(places))
        self._online(rng, draft, places, _DEVICES)
        draft.town[places] = self._town_elsewhere(rng, int(self._store_towns[store]))

    def _account_takeover(self, rng: np.random.Generator, draft: Draft, places: Codes) -> None:
        victim = self._victim(rng, draft, places, is_off_hours=rng.random() < 0.7)
        draft.rank[places] = 0.35 + 0.6 * rng.random(len(places))
        draft.payment[places] = by_habit(rng, self._habits.payment[[victim] * len(places)])
        own = (int(self._habits.phone[victim]), int(self._habits.computer[victim]))
        self._online(rng, draft, places, [device for device in _DEVICES if device not in own])
        home = int(self._habits.town[victim])
        is_sent_home = rng.random() < 0.4
        draft.town[places] = home if is_sent_home else self._town_elsewhere(rng, home)

    def _loot(self, rng: np.random.Generator, draft: Draft, places: Codes) -> None:
        draft.category[places] = weighted(rng, _RESALE, len(places))
        draft.quantity[places] = 1 + weighted(rng, words.QUANTITY_WEIGHTS, len(places))

    def _victim(
        self, rng: np.random.Generator, draft: Draft, places: Codes, *, is_off_hours: bool = False
    ) -> int:
        """Pick the victim and write it to the case; with luck one who is not active then."""
        hour = int(draft.times[places[0]]) // _HOUR_MS % 24
        victim = int(rng.integers(len(self._habits.town)))
        for _ in range(_OFF_HOURS_TRIES):
            if not (is_off_hours and self._habits.is_active(victim, hour)):
                break
            victim = int(rng.integers(len(self._habits.town)))
        draft.buyer[places] = victim
        return victim

    def _online(
        self, rng: np.random.Generator, draft: Draft, places: Codes, devices: list[int]
    ) -> None:
        """Let a case happen online, from one of ``devices``."""
        device = devices[int(rng.integers(len(devices)))]
        is_app = device in PHONES and rng.random() < 0.5
        draft.channel[places] = _APP if is_app else _WEB
        draft.device[places] = device
        draft.store[places] = NONE

    def _town_elsewhere(self, rng: np.random.Generator, home: int) -> int:
        """Draw a town of another region."""
        others = np.flatnonzero(self._towns.region != self._towns.region[home])
        return int(others[rng.integers(len(others))])


def _places(rng: np.random.Generator, draft: Draft, kind: str) -> Codes:
    """Draw when a case happens: honest positions of a batch, in order of time."""
    low, high, gap_ms = {
        STOLEN_CARD_BURST: (4, 9, 2 * _MINUTE_MS),
        COMPROMISED_STORE: (8, 20, 20 * _MINUTE_MS),
        ACCOUNT_TAKEOVER: (3, 6, 25 * _MINUTE_MS),
    }[kind]
    count = int(rng.integers(low, high + 1))
    times = draft.times
    start = int(rng.integers(len(times)))
    passed = np.cumsum(rng.exponential(gap_ms, count))
    passed *= min(1.0, int(times[-1] - times[start]) / passed[-1])
    order = np.arange(count)
    found = np.searchsorted(times, times[start] + passed)
    places: Codes = np.maximum.accumulate(found - order) + order  # each later than the one before
    places = places[places < len(times)]
    honest: Codes = places[np.array([draft.kind[place] is None for place in places], np.bool_)]
    return honest
