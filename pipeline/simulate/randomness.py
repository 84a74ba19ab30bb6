"""Numbers that are a function of the seed: hashes of integer arrays, and a generator per purpose and index.

Owns: determinism. Leaves to others: distributions.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]
Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Bytes: TypeAlias = NDArray[np.uint8]
Column: TypeAlias = NDArray[Any]  # of the column's number type

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _mix(word: Words) -> Words:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Words = word ^ (word >> np.uint64(31))
    return result


def hashed(*parts: "int | Ints | Words") -> Words:
    """Return a 64-bit hash (splitmix64, chained) of integers, elementwise; at least one part is an array."""
    state: Words = np.zeros(1, np.uint64)
    for part in parts:
        word = np.atleast_1d(np.asarray(part)).astype(np.uint64)
        state = _mix(state + word * _GAMMA + _GAMMA)
    return state


def fraction(words: Words) -> Floats:
    """Return hashes as numbers in [0, 1)."""
    result: Floats = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return result


def seeded_generator(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """Return the generator of a purpose and an index, independent of all others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, index])))
