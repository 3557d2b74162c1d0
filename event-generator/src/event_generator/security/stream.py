"""The stream of security events: users, surroundings and types are drawn per batch of columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from event_generator.batches import Batch
from event_generator.clock import EventClock
from event_generator.draws import (
    Codes,
    Flags,
    Objects,
    chance,
    choices,
    generator,
    pool,
    weighted,
)
from event_generator.identifiers import first_number, mixed_64_bit, scattered_48_bit
from event_generator.security.details import (
    ANOMALY_KINDS,
    RENDERERS,
    Details,
    Rows,
    foreign_addresses,
)
from event_generator.security.profiles import Population
from event_generator.security.vocabulary import EVENT_MIX, FOREIGN_AGENTS, FOREIGN_PLACES

BATCH_SIZE = 5_000
EVERY_50TH = 1 / 50
SESSION_MS = 1_800_000

_TYPES = pool(tuple(EVENT_MIX))
_PLACES = pool(FOREIGN_PLACES)
_AGENTS = pool(FOREIGN_AGENTS)
_SCORES = pool([str(thousandths / 1000) for thousandths in range(1001)])


@dataclass(frozen=True, slots=True)
class SecurityScenario:
    """Everything that decides which events come out.

    Attributes:
        seed: Seed of every draw.
        clock: Event time of the n-th event.
        users: Number of users; the first 14 have names.
        anomaly_rate: Share of anomalous events. At 0.02 it is exactly every 50th event.
        follow_hours: Draw users by their active hours, for runs that cover days.
    """

    seed: int
    clock: EventClock
    users: int = 14
    anomaly_rate: float = EVERY_50TH
    follow_hours: bool = False


class SecurityStream:
    """An endless stream of security events with known anomalies."""

    def __init__(self, scenario: SecurityScenario) -> None:
        self.scenario = scenario
        self.population = Population.of_size(scenario.users)
        self._first_id = first_number("security", scenario)

    def batch(self, index: int) -> Batch:
        """Return events ``index * BATCH_SIZE`` and following."""
        rng = generator(self.scenario.seed, index)
        first = index * BATCH_SIZE
        times = self.scenario.clock.times(first, BATCH_SIZE)
        anomalous = self._anomalous(rng, first)
        users = self._users(rng, times, anomalous)
        numbers = scattered_48_bit(self._first_id + first, BATCH_SIZE)
        kinds = _TYPES[weighted(rng, tuple(EVENT_MIX.values()), BATCH_SIZE)]
        names = self.population.names[users]
        details = _details(rng, kinds, Rows(names, times, anomalous))
        columns = (
            numbers,
            times,
            kinds,
            names,
            details.status,
            details.destination_ip,
            _SCORES[_threat_thousandths(rng, details.status, anomalous)],
            *self._surroundings(rng, users, anomalous),
            _sessions(users, times, anomalous, numbers),
        )
        labels = _labels(numbers, names, times, kinds, np.flatnonzero(anomalous))
        return Batch(names.tolist(), _texts(columns, details.tail), labels)

    def _anomalous(self, rng: np.random.Generator, first: int) -> Flags:
        if self.scenario.anomaly_rate == EVERY_50TH:
            every_50th: Flags = np.arange(first + 1, first + BATCH_SIZE + 1) % 50 == 0
            return every_50th
        return chance(rng, self.scenario.anomaly_rate, BATCH_SIZE)

    def _users(self, rng: np.random.Generator, times: NDArray[np.int64], anomalous: Flags) -> Codes:
        """Draw users; an intruder does not keep the hours of the user whose account it is."""
        users = self.population.draw(rng, BATCH_SIZE)
        if self.scenario.follow_hours:
            hours = times // 3_600_000 % 24
            users = np.where(anomalous, users, self.population.draw_at(rng, hours))
        return users

    def _surroundings(
        self, rng: np.random.Generator, users: Codes, anomalous: Flags
    ) -> tuple[Objects, Objects, Objects, Objects]:
        """Return source address, host name, place and user agent of each event."""
        size = len(users)
        addresses = self.population.addresses(rng, users)
        addresses[anomalous] = foreign_addresses(rng, int(anomalous.sum()))
        places = self.population.places(rng, users)
        places[anomalous] = choices(rng, _PLACES, size)[anomalous]
        agents = self.population.user_agents[users]
        agents[anomalous] = choices(rng, _AGENTS, size)[anomalous]
        return addresses, self.population.hostnames[users], places, agents


def _details(rng: np.random.Generator, kinds: Objects, rows: Rows) -> Details:
    """Let each type fill its own rows, then put them back in order."""
    status, destination, tail = (np.empty(len(rows), dtype=object) for _ in range(3))
    for kind in EVENT_MIX:
        where = np.flatnonzero(kinds == kind)
        part = Rows(rows.users[where], rows.times[where], rows.anomalous[where])
        details = RENDERERS[kind](rng, part)
        status[where], destination[where] = details.status, details.destination_ip
        tail[where] = details.tail
    return Details(status, destination, tail.tolist())


def _texts(columns: Sequence[NDArray[np.generic] | Objects], tails: list[str]) -> list[str]:
    """Write each row as one line of JSON; all strings are known to need no escapes."""
    return [
        f'{{"event_id":"evt_{number:012x}","timestamp":{time},"event_type":"{kind}"'
        f',"source_ip":"{address}","destination_ip":"{to}","user":"{user}","status":"{status}"'
        f',"threat_score":{score},"metadata":{{"hostname":"{host}","geo_location":"{place}"'
        f',"user_agent":"{agent}","session_id":"sess_{session:08x}"{tail}'
        for number, time, kind, user, status, to, score, address, host, place, agent, session, tail in zip(
            *(column.tolist() for column in columns), tails, strict=True
        )
    ]


def _labels(
    numbers: NDArray[np.uint64],
    names: Objects,
    times: NDArray[np.int64],
    kinds: Objects,
    positions: NDArray[np.intp],
) -> list[tuple[int, str]]:
    return [
        (
            at,
            f'{{"event_id":"evt_{numbers[at]:012x}","user":"{names[at]}","timestamp":{times[at]}'
            f',"is_anomaly":true,"kind":"{ANOMALY_KINDS[kinds[at]]}"}}',
        )
        for at in positions.tolist()
    ]


def _sessions(
    users: Codes,
    times: NDArray[np.int64],
    anomalous: Flags,
    numbers: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """Number sessions: one per user and half hour, a fresh one for every anomalous event."""
    usual = ((users << 24) + times // SESSION_MS).astype(np.uint64)
    return mixed_64_bit(np.where(anomalous, numbers, usual)) >> np.uint64(32)


def _threat_thousandths(rng: np.random.Generator, status: Objects, anomalous: Flags) -> Codes:
    """Draw the producer's opinion; it gives the label away, so no detector may read it."""
    uniform = rng.random(len(status))
    low = np.where(status == "success", 0, 100)
    thousandths = np.where(anomalous, 700 + uniform * 300, low + uniform * 200)
    return thousandths.astype(np.int64)
