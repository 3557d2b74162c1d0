"""A batch of purchases as codes, before they become the columns of transactions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from event_generator.draws import Codes, Objects

NONE = -1
"""The code of an absent value."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One entry per purchase, in order of event time; drawing fraud writes over some of them.

    Attributes:
        times: Unix ms.
        buyer: Customer whose account or card is used.
        category: Code of the category.
        rank: Where in the category's range of prices the product lies, 0 to 1.
        quantity: Units.
        channel, payment: Codes.
        device: Device type, ``NONE`` unless the channel is online.
        store: Store, ``NONE`` unless it is the channel.
        town: Where it happens: the store's town, else where the buyer is.
        kind: Kind of fraud, None for honest purchases.
    """

    times: NDArray[np.int64]
    buyer: Codes
    category: Codes
    rank: NDArray[np.float64]
    quantity: Codes
    channel: Codes
    payment: Codes
    device: Codes
    store: Codes
    town: Codes
    kind: Objects
