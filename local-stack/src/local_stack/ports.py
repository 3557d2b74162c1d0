"""Ports: which are free, which are taken, and by whom."""

import random
import socket

import psutil

from local_stack.errors import PortTakenError

# Below the range that Linux and macOS lend to outgoing connections, so a broker that is killed
# and started again finds its port still free.
_LOWEST_FREE, _HIGHEST_FREE = 15_000, 32_000
_ATTEMPTS = 200


def is_free(host: str, port: int) -> bool:
    """Say whether a server could listen on a port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now and that no outgoing connection will take.

    Raises:
        PortTakenError: none was found.
    """
    for _ in range(_ATTEMPTS):
        port = random.randint(_LOWEST_FREE, _HIGHEST_FREE)
        if is_free(host, port):
            return port
    raise PortTakenError(f"no free port between {_LOWEST_FREE} and {_HIGHEST_FREE} on {host}")


def owner_of(port: int) -> str | None:
    """Name the process that listens on a port, as far as this user may know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None  # macOS shows other processes' sockets to root only
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        if connection.laddr.port == port:
            return _describe(connection.pid)
    return None


def _describe(pid: int | None) -> str | None:
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        return f"process {pid}, {' '.join(process.cmdline())[:80] or process.name()}"
    except psutil.Error:
        return f"process {pid}"
