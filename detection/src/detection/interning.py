"""Strings to small integers, once per micro-batch.

Codes are given in order of first appearance, so they do not depend on where batches are cut.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.events import AUTH_EVENT_TYPES, EVENT_STATUSES, EVENT_TYPES, UNKNOWN_USER
from detection import layout as at

POPULATION_NAME = ""
"""Holds code 0, so that no user gets it."""

_COLUMNS = {
    "user": at.C_USER,
    "source_ip": at.IP,
    "geo_location": at.PLACE,
    "event_type": at.TYPE,
    "user_agent": at.AGENT,
    "hostname": at.HOST,
    "process_name": at.PROCESS,
    "port": at.PORT,
    "file_path": at.PATH,
    "domain": at.DOMAIN,
    "status": at.C_STATUS,
    "failure_reason": at.C_REASON,
}
NETWORKS = "network"
VOCABULARIES = (*_COLUMNS, NETWORKS)
_KNOWN: dict[str, tuple[str, ...]] = {
    "user": (POPULATION_NAME, UNKNOWN_USER),
    "event_type": tuple(dict.fromkeys((*EVENT_TYPES, *AUTH_EVENT_TYPES))),
    "status": EVENT_STATUSES,
}

_FEW_ROWS = 128
"""Up to so many, looking up each value costs less than Arrow's fixed cost of encoding."""


class Interner:
    """Vocabularies of one partition: for each interned column, value to code and back."""

    def __init__(self) -> None:
        self.values: dict[str, list[str | int]] = {
            name: list(_KNOWN.get(name, ())) for name in VOCABULARIES
        }
        self._codes: dict[str, dict[str | int, int]] = {}
        self._network_of = np.empty(0, np.int64)
        self._country_of = np.full(64, -1, np.int64)
        self._located = 0
        self._reindex()

    @classmethod
    def of(cls, values: dict[str, list[str | int]]) -> "Interner":
        """Return the interner whose vocabularies are ``values``, in order of their codes."""
        interner = cls()
        interner.values = values
        interner._reindex()
        return interner

    @property
    def users(self) -> int:
        """Number of user codes, the two reserved ones included."""
        return len(self.values["user"])

    def user_code(self, user: str) -> int | None:
        """Return the code of ``user``, None when it never came."""
        return self._codes["user"].get(user)

    def codes(self, events: pa.RecordBatch) -> NDArray[np.int64]:
        """Return codes [``layout.CODES``, rows]; -1 stands for null."""
        codes = np.full((at.CODES, events.num_rows), -1, np.int64)
        for name, row in _COLUMNS.items():
            column = events.column(name)
            if column.null_count < len(column):
                codes[row] = self._intern(name, column)
        ips = codes[at.IP]
        self._add_networks()
        if len(self.values["source_ip"]):
            codes[at.NET] = np.where(ips >= 0, self._network_of[ips], -1)
        return codes

    def countries(self) -> NDArray[np.int64]:
        """Return each place's country as a number, by code of the place; -1 for none.

        The last cell is -1 too, so that the code of null finds no country.
        """
        places = self.values["geo_location"]
        if len(places) >= len(self._country_of):
            grown = np.full(2 * len(places) + 1, -1, np.int64)
            grown[: self._located] = self._country_of[: self._located]
            self._country_of = grown
        for code in range(self._located, len(places)):
            self._country_of[code] = _country_code(country_of(places[code]))
        self._located = len(places)
        return self._country_of

    def _intern(self, name: str, column: pa.Array) -> NDArray[np.int64]:
        if len(column) <= _FEW_ROWS:
            return np.array([self._code(name, value) for value in column.to_pylist()], np.int64)
        encoded = pc.dictionary_encode(column)
        lookup = np.empty(len(encoded.dictionary) + 1, np.int64)
        lookup[-1] = -1
        for index, value in enumerate(encoded.dictionary.to_pylist()):
            lookup[index] = self._code(name, value)
        return lookup[encoded.indices.fill_null(-1).to_numpy()]

    def _code(self, name: str, value: str | int | None) -> int:
        """Return the code of a value, the next one if it is new; -1 for null."""
        if value is None:
            return -1
        known = self._codes[name]
        code = known.get(value)
        if code is None:
            values = self.values[name]
            code = known[value] = len(values)
            values.append(value)
        return code

    def _add_networks(self) -> None:
        """Give each new address the code of its network."""
        addresses, known = self.values["source_ip"], self._codes[NETWORKS]
        networks = self.values[NETWORKS]
        for code in range(self._networked, len(addresses)):
            if code == len(self._network_of):
                self._network_of = np.resize(self._network_of, max(64, 2 * code))
            network = network_of(str(addresses[code]))
            if network not in known:
                known[network] = len(networks)
                networks.append(network)
            self._network_of[code] = known[network]
        self._networked = len(addresses)

    def _reindex(self) -> None:
        self._codes = {
            name: {value: code for code, value in enumerate(values)}
            for name, values in self.values.items()
        }
        self._networked = 0
        self._located = 0
        self._add_networks()


def country_of(place: str | int | bool | None) -> str | None:
    """Return the country of a place "CC-RR-City".

    Examples:
        >>> country_of("US-CA-SanFrancisco")
        'US'
        >>> country_of("somewhere") is None
        True
    """
    head = str(place).partition("-")[0]
    return head if len(head) == 2 and head.isascii() and head.isupper() else None


def _country_code(country: str | None) -> int:
    return -1 if country is None else 26 * (ord(country[0]) - 65) + ord(country[1]) - 65


def network_of(address: str) -> str:
    """Return the network an address lies in: /24 of IPv4, the first three groups of IPv6.

    A host name is its own network.

    Examples:
        >>> network_of("203.0.113.9")
        '203.0.113.0/24'
        >>> network_of("2001:db8:1:2::7")
        '2001:db8:1::/48'
        >>> network_of("laptop-7")
        'laptop-7'
    """
    head, dot, last = address.rpartition(".")
    if dot and last.isdecimal() and head.replace(".", "").isdecimal():
        return f"{head}.0/24"
    if ":" in address:
        return ":".join(address.split(":")[:3]) + "::/48"
    return address
