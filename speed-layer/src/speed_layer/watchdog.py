"""Ends a process that does not do its work any more and cannot know it itself.

Every crash is harmless: a new process goes on from the store. So where the Kafka client does not
come back, from a call or to its group, the cure is a new process, which the supervisor starts.
"""

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable

from speed_layer.status import Status

logger = logging.getLogger(__name__)

EXIT_STATUS = 70
"""``EX_SOFTWARE`` of sysexits.h."""

_LOOK_SECONDS = 5.0
_LOOKS = 24


class Watchdog:
    """Ends the process when its loop has not turned at ``_LOOKS`` looks, one after the other.

    It counts looks instead of seconds: a process that was stopped and goes on has missed none. A
    loop that said why it waits (a store that is rebuilt, a broker that is away) may take its time.

    Args:
        status: Where the loop counts its turns.
        end: Ends the process; tests lend theirs.
    """

    def __init__(self, status: Status, end: Callable[[str], None] | None = None) -> None:
        self._status = status
        self._end = end or end_process
        self._turns = -1
        self._same = 0

    def start(self) -> None:
        """Look every few seconds, in a thread that ends with the process."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def look(self) -> None:
        """Compare the loop's turns with those at the last look."""
        turns = self._status.turns
        is_still = turns == self._turns and self._status.problem() is None
        self._turns, self._same = turns, self._same + 1 if is_still else 0
        if self._same >= _LOOKS:
            self._end(f"the loop has not turned for {_LOOKS * _LOOK_SECONDS:.0f} s")

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(_LOOK_SECONDS):
            self.look()


def end_process(reason: str) -> None:
    """Say why and where every thread stands, and exit without asking the Kafka client to close."""
    logger.critical("%s: this process ends, a new one goes on", reason)
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    logging.shutdown()
    os._exit(EXIT_STATUS)
