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

_GAMMA = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ARRAY_GAMMA = np.uint64(_GAMMA)
_ARRAY_FACTORS = tuple(np.uint64(factor) for factor in _FACTORS)
_SHIFTS = tuple(np.uint64(bits) for bits in (30, 27, 31))


def _mix(words: Words) -> Words:
    words = (words ^ (words >> _SHIFTS[0])) * _ARRAY_FACTORS[0]
    words = (words ^ (words >> _SHIFTS[1])) * _ARRAY_FACTORS[1]
    result: Words = words ^ (words >> _SHIFTS[2])
    return result


def _mix_one(word: int) -> int:
    word = (word ^ (word >> 30)) * _FACTORS[0] & _WORD
    word = (word ^ (word >> 27)) * _FACTORS[1] & _WORD
    return word ^ (word >> 31)


def hashed(*parts: "int | Ints | Words") -> Words:
    """Return a 64-bit hash (splitmix64, chained) of integers, elementwise; at least one part is an array.

    Up to the first array it computes with Python's own integers: arrays of one element take ten times as long.
    """
    begun = 0
    state: Words | None = None
    for part in parts:
        if isinstance(part, int):
            step = (part + 1) * _GAMMA & _WORD
            if state is None:
                begun = _mix_one((begun + step) & _WORD)
                continue
            state = _mix(state + np.uint64(step))
        else:
            words = part.astype(np.uint64) * _ARRAY_GAMMA + _ARRAY_GAMMA
            state = _mix((np.uint64(begun) if state is None else state) + words)
    assert state is not None
    return state


def fraction(words: Words) -> Floats:
    """Return hashes as numbers in [0, 1)."""
    result: Floats = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return result


def seeded_generator(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """Return the generator of a purpose and an index, independent of all others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, index])))
