"""What is specific to each event type: status, destination, metadata and the typed object.

Every function takes the rows of one type and returns columns; ``tail`` is the JSON text that
follows the common metadata and closes the event. Anomalous rows differ in more than one field,
as an intruder's do: see ``ANOMALY_KINDS``.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from event_generator.draws import (
    Flags,
    Objects,
    chance,
    choices,
    log_uniform,
    pool,
    uniform_integers,
    weighted,
)
from event_generator.security import vocabulary as words

ANOMALY_KINDS = {
    "auth_attempt": "foreign_login",
    "network_connection": "suspicious_port",
    "file_access": "sensitive_file",
    "process_execution": "credential_dumping",
    "dns_query": "suspicious_domain",
}

STATUSES = pool(("success", "failed", "blocked"))
_BOOLEANS = pool(("false", "true"))


@dataclass(frozen=True, slots=True)
class Rows:
    """Events of one type, as columns: user name, event time in Unix ms, anomalous or not."""

    users: Objects
    times: NDArray[np.int64]
    anomalous: Flags

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class Details:
    """What a type adds to its events, as columns."""

    status: Objects
    destination_ip: Objects
    tail: list[str]


def auth_attempt(rng: np.random.Generator, rows: Rows) -> Details:
    """Logins: 92 % succeed, 6 % fail, 2 % are blocked; an intruder mostly fails, by password."""
    size, odd = len(rows), rows.anomalous
    status = _status(rng, rows, normal=(0.92, 0.06, 0.02), anomalous=(0.35, 0.55, 0.10))
    failed = status != "success"
    method = _AUTH_TYPES[weighted(rng, (0.55, 0.20, 0.20, 0.05), size)]
    method[odd] = "password"
    reason = choices(rng, _FAILURE_REASONS, size)
    reason[~failed] = ""
    attempts = np.where(failed, uniform_integers(rng, 1, 3, size), 1)
    attempts[odd] = uniform_integers(rng, 4, 15, size)[odd]
    previous = rows.times - log_uniform(rng, 60_000, 86_400_000, size)
    tail = [
        f'}},"auth_details":{{"auth_type":"{kind}","status":"{outcome}",{why}'
        f'"attempts_count":{tries},"previous_success_timestamp":{before}}}}}'
        for kind, outcome, why, tries, before in _rows(method, status, reason, attempts, previous)
    ]
    return Details(status, choices(rng, _AUTH_SERVERS, size), tail)


def network_connection(rng: np.random.Generator, rows: Rows) -> Details:
    """Connections to known hosts; an intruder sends much to an unknown one, on an odd port."""
    size, odd = len(rows), rows.anomalous
    status = _status(rng, rows, normal=(0.96, 0.02, 0.02), anomalous=(0.85, 0.05, 0.10))
    target = uniform_integers(rng, 0, len(_HOSTS) - 1, size)
    host, address = _HOSTS[target], _HOST_IPS[target]
    host[odd], address[odd] = "unknown", foreign_addresses(rng, size)[odd]
    port = _PORTS[weighted(rng, _PORT_WEIGHTS, size)]
    port[odd] = _SUSPICIOUS_PORTS[uniform_integers(rng, 0, 3, size)][odd]
    protocol = np.where(chance(rng, 0.9, size) | odd, "TCP", "UDP")
    sent, received = log_uniform(rng, 200, 200_000, size), log_uniform(rng, 500, 2_000_000, size)
    sent[odd] = log_uniform(rng, 20_000_000, 900_000_000, size)[odd]
    duration = log_uniform(rng, 5, 60_000, size)
    source_port = uniform_integers(rng, 32_768, 60_999, size)
    state = _STATES[weighted(rng, (0.35, 0.62, 0.03), size)]
    columns = (port, protocol, sent, received, source_port, duration, host, state)
    tail = [
        f',"port":{to_port},"protocol":"{how}","bytes_transferred":{out + back}}}'
        f',"network_details":{{"protocol":"{how}","source_port":{from_port}'
        f',"destination_port":{to_port},"bytes_sent":{out},"bytes_received":{back}'
        f',"duration_ms":{took},"destination_hostname":"{name}","connection_state":"{end}"}}}}'
        for to_port, how, out, back, from_port, took, name, end in _rows(*columns)
    ]
    return Details(status, address, tail)


def file_access(rng: np.random.Generator, rows: Rows) -> Details:
    """Files of one's own or shared; an intruder reads secrets."""
    size, odd = len(rows), rows.anomalous
    status = _status(rng, rows, normal=(0.97, 0.03, 0.0), anomalous=(0.75, 0.15, 0.10))
    path = choices(rng, _SHARED_PATHS, size)
    own = chance(rng, 0.6, size)
    path[own] = (_HOME + rows.users + choices(rng, _HOME_FILES, size))[own]
    path[odd] = choices(rng, _SENSITIVE_PATHS, size)[odd]
    operation = _OPERATIONS[weighted(rng, (0.60, 0.20, 0.03, 0.07, 0.10), size)]
    operation[odd] = _OPERATIONS[weighted(rng, (0.8, 0.0, 0.0, 0.0, 0.2), size)][odd]
    length = log_uniform(rng, 200, 20_000_000, size)
    digest = choices(rng, _FILE_HASHES, size)
    encrypted = _BOOLEANS[chance(rng, 0.1, size).astype(np.int64)]
    permissions = _BOOLEANS[chance(rng, 0.01, size).astype(np.int64)]
    denied = _BOOLEANS[(status != "success").astype(np.int64)]
    columns = (path, length, operation, digest, encrypted, permissions, denied)
    tail = [
        f',"file_path":"{name}","bytes_transferred":{many}}}'
        f',"file_details":{{"file_path":"{name}","operation":"{what}","file_size_bytes":{many}'
        f',"file_hash":"{content}","is_encrypted":{secret},"permissions_changed":{changed}'
        f',"access_denied":{refused}}}}}'
        for name, many, what, content, secret, changed, refused in _rows(*columns)
    ]
    return Details(status, choices(rng, _FILE_SERVERS, size), tail)


def process_execution(rng: np.random.Generator, rows: Rows) -> Details:
    """Signed programs; an intruder runs unsigned tools that dump credentials."""
    size, odd = len(rows), rows.anomalous
    status = _status(rng, rows, normal=(0.98, 0.02, 0.0), anomalous=(0.75, 0.10, 0.15))
    program = _PROCESSES[uniform_integers(rng, 0, len(_PROCESSES) - 1, size)]
    tools = _CREDENTIAL_TOOLS[uniform_integers(rng, 0, len(_CREDENTIAL_TOOLS) - 1, size)]
    program[odd] = tools[odd]
    privileges = _PRIVILEGES[weighted(rng, (0.10, 0.82, 0.08), size)]
    privileges[odd] = "admin"
    process_id = uniform_integers(rng, 1_000, 65_000, size)
    parent_id = uniform_integers(rng, 300, 65_000, size)
    tail = [
        f',"process_name":{name}}},"process_details":{{"process_name":{name}'
        f',"process_id":{own_id},"parent_process_id":{parent}{rest}'
        f',"user_privileges":"{rights}"}}}}'
        for name, rest, own_id, parent, rights in _rows(
            program[:, 0], program[:, 1], process_id, parent_id, privileges
        )
    ]
    return Details(status, choices(rng, _AUTH_SERVERS, size), tail)


def dns_query(rng: np.random.Generator, rows: Rows) -> Details:
    """Look-ups of known names; an intruder's names carry data in long random labels."""
    size, odd = len(rows), rows.anomalous
    status = _status(rng, rows, normal=(0.97, 0.03, 0.0), anomalous=(0.80, 0.15, 0.05))
    name = choices(rng, _DOMAINS, size)
    count = int(odd.sum())
    digits = rng.bytes(20 * count).hex()
    labels = pool([f"{digits[i : i + 40]}." for i in range(0, 40 * count, 40)])
    name[odd] = labels + choices(rng, _SUSPICIOUS_DOMAINS, count)
    kind = _QUERY_TYPES[weighted(rng, (0.70, 0.15, 0.05, 0.05, 0.05), size)]
    kind[odd] = "TXT"
    code = np.where(status == "success", "NOERROR", "NXDOMAIN")
    answer = np.where(status == "success", choices(rng, _ANSWERS, size), "")
    ttl = uniform_integers(rng, 1, 3_600, size)
    cached = _BOOLEANS[chance(rng, 0.4, size).astype(np.int64)]
    server = choices(rng, _DNS_SERVERS, size)
    tail = [
        f',"domain":"{asked}","protocol":"UDP","port":53}},"dns_details":{{"query_name":"{asked}"'
        f',"query_type":"{what}","response_code":"{said}","resolved_ips":[{found}]'
        f',"ttl":{seconds},"is_cached":{known},"dns_server":"{whom}"}}}}'
        for asked, what, said, found, seconds, known, whom in _rows(
            name, kind, code, answer, ttl, cached, server
        )
    ]
    return Details(status, server, tail)


RENDERERS: dict[str, Callable[[np.random.Generator, Rows], Details]] = {
    "auth_attempt": auth_attempt,
    "network_connection": network_connection,
    "file_access": file_access,
    "process_execution": process_execution,
    "dns_query": dns_query,
}


def foreign_addresses(rng: np.random.Generator, size: int) -> Objects:
    """Draw public addresses from half a million /24 networks that no home address lies in."""
    first = _FOREIGN_BLOCKS[uniform_integers(rng, 0, len(_FOREIGN_BLOCKS) - 1, size)]
    rest = uniform_integers(rng, 0, 65_535, size)
    last = uniform_integers(rng, 1, 254, size)
    return pool(
        [f"{a}.{b >> 8}.{b & 255}.{c}" for a, b, c in _rows(first, rest, last)],
    )


def _status(
    rng: np.random.Generator,
    rows: Rows,
    *,
    normal: Sequence[float],
    anomalous: Sequence[float],
) -> Objects:
    status = STATUSES[weighted(rng, normal, len(rows))]
    status[rows.anomalous] = STATUSES[weighted(rng, anomalous, len(rows))][rows.anomalous]
    return status


def _rows(*columns: NDArray[np.generic] | Objects) -> "zip[tuple[Any, ...]]":
    """Walk columns row by row as plain Python values; ``tolist`` is what makes that cheap."""
    return zip(*(column.tolist() for column in columns), strict=True)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _program(name: str, path: str, arguments: str, signer: str | None) -> tuple[str, str]:
    signed = f'true,"signer":"{signer}"' if signer else "false"
    return f'"{name}"', (
        f',"command_line":"{name} {arguments}","executable_path":"{path}"'
        f',"executable_hash":"{_digest(path)}","is_signed":{signed}'
    )


_AUTH_TYPES = pool(("password", "mfa", "sso", "api_key"))
_FAILURE_REASONS = pool(
    [
        f'"failure_reason":"{reason}",'
        for reason in ("invalid_password", "account_locked", "mfa_failed", "expired_credentials")
    ]
)
_AUTH_SERVERS = pool(words.AUTH_SERVERS)
_FILE_SERVERS = pool(words.FILE_SERVERS)
_DNS_SERVERS = pool(words.DNS_SERVERS)
_HOSTS = pool([host for host, _ in words.DESTINATIONS])
_HOST_IPS = pool([address for _, address in words.DESTINATIONS])
_ANSWERS = pool([f'"{address}"' for _, address in words.DESTINATIONS])
_PORTS = np.array([port for port, _ in words.PORTS])
_PORT_WEIGHTS = [weight for _, weight in words.PORTS]
_SUSPICIOUS_PORTS = np.array(words.SUSPICIOUS_PORTS)
_STATES = pool(("established", "closed", "timeout"))
_SHARED_PATHS = pool(words.SHARED_PATHS)
_HOME = pool(("/home/",))
_HOME_FILES = pool([f"/{path}" for path in words.HOME_FILES])
_SENSITIVE_PATHS = pool(words.SENSITIVE_PATHS)
_OPERATIONS = pool(("read", "write", "delete", "create", "modify"))
_FILE_HASHES = pool([_digest(str(number)) for number in range(500)])
_PROCESSES = np.array([_program(*program) for program in words.PROCESSES], dtype=object)
_CREDENTIAL_TOOLS = np.array(
    [_program(*tool, None) for tool in words.CREDENTIAL_TOOLS], dtype=object
)
_PRIVILEGES = pool(("admin", "standard", "system"))
_DOMAINS = pool(words.DOMAINS)
_SUSPICIOUS_DOMAINS = pool(words.SUSPICIOUS_DOMAINS)
_QUERY_TYPES = pool(("A", "AAAA", "MX", "TXT", "CNAME"))
_FOREIGN_BLOCKS = np.array((45, 77, 91, 103, 175, 185, 193, 212))
