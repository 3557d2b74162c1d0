"""A user's features from the state of every partition this process owns."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from detection import Engine, user_features
from speed_layer.partition import Partition


def features_of(partitions: Sequence[Partition], user: str) -> dict[str, Any] | None:
    """Return the 28 features of ``user``, None when no partition has seen the user.

    Usually one partition has; a producer that does not key by user spreads one over several,
    whose states are then merged.
    """
    with ExitStack() as locks:
        engines: list[Engine] = []
        for partition in partitions:
            locks.enter_context(partition.engine_lock)
            if partition.engine.features_of(user) is not None:
                engines.append(partition.engine)
        if not engines:
            return None
        if len(engines) == 1:
            return engines[0].features_of(user)
        table = user_features(engines)
        index = table.column("user").to_pylist().index(user)
        row: dict[str, Any] = table.slice(index, 1).to_pylist()[0]
        return row
