"""What the text of a flag means where it is no setting: a checked number, or words that say what is expected.

Owns: those, in the form that argparse shows. Leaves to others: settings (``setting_values``).
"""

import argparse
import math
from collections.abc import Callable


def whole(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """Return a check for a whole number in a range."""

    def parse(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or not least <= int(text) <= (
            int(text) if most is None else most
        ):
            bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number {bounds}")
        return int(text)

    return parse


def above_0(text: str) -> float:
    """Return a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0")
    return value
