"""Identifiers that look random, never repeat within a run and hardly ever between runs."""

import hashlib

import numpy as np
from numpy.typing import NDArray

_BITS_48 = np.uint64((1 << 48) - 1)
_MIX_1 = np.uint64(0xA24BAED4963E5)
_MIX_2 = np.uint64(0x9FB21C651E98D)
_HALF_1 = np.uint64(25)
_HALF_2 = np.uint64(23)


def first_number(*identity: object) -> int:
    """Hash what identifies a run to the 48-bit number its event ids start from."""
    digest = hashlib.blake2b(repr(identity).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")


def scattered_48_bit(first: int, count: int) -> NDArray[np.uint64]:
    """Scatter ``count`` successive numbers, starting at ``first``, over 48 bits.

    The mapping is one fixed bijection, so ids never repeat within a run, and two runs share one
    only if their ranges of numbers overlap: for two runs of a million events the chance is
    7e-9. Independent random ids of 12 digits would collide with a chance of 4e-3.
    """
    numbers = (np.uint64(first) + np.arange(count, dtype=np.uint64)) & _BITS_48
    numbers = (numbers * _MIX_1) & _BITS_48
    numbers ^= numbers >> _HALF_1
    numbers = (numbers * _MIX_2) & _BITS_48
    return numbers ^ (numbers >> _HALF_2)


def mixed_64_bit(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash each number to 64 bits (the finalizer of splitmix64)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def uuid4_texts(rng: np.random.Generator, count: int) -> list[str]:
    """Draw ``count`` version 4 UUIDs in text form."""
    raw = np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(count, 16).copy()
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    digits = raw.tobytes().hex()
    return [
        f"{digits[i : i + 8]}-{digits[i + 8 : i + 12]}-{digits[i + 12 : i + 16]}"
        f"-{digits[i + 16 : i + 20]}-{digits[i + 20 : i + 32]}"
        for i in range(0, 32 * count, 32)
    ]
