"""Record keys that are TIDs, as numbers.

Owns: reading one. Leaves to others: making them, and what they name.
"""

import re

_DIGITS = {digit: value for value, digit in enumerate("234567abcdefghijklmnopqrstuvwxyz")}
_TID = re.compile(
    r"[2-7ab][2-7a-z]{12}", re.ASCII
)  # from c on the number has 64 bits: no TID, and no store takes it


def tid_number(text: str) -> int | None:
    """Return the number of a TID; None for any other text."""
    if _TID.fullmatch(text) is None:
        return None
    number = 0
    for digit in text:
        number = number * 32 + _DIGITS[digit]
    return number
