"""The languages a request asks for.

Owns: reading Accept-Language, with or without weights. Leaves to others: which list each language gets.
Never raises: what can't be read is passed over.
"""

import re

LANGUAGES_MAX = 10
_HEADER_MAX = 1000
_ENTRY = re.compile(
    r"\s*([A-Za-z]{2})(?:[-_][A-Za-z0-9_-]{1,35})?\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?", re.ASCII
)


def accepted(header: str | None) -> tuple[str, ...]:
    """Return two-letter codes, most wanted first, each once; weight 0 excludes, ``*`` says nothing."""
    weights: dict[str, float] = {}
    for entry in (header or "")[:_HEADER_MAX].split(","):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            continue
        weight = float(match[2]) if match[2] else 1.0
        code = match[1].lower()
        if weight > weights.get(code, 0.0):
            weights[code] = weight
    return tuple(sorted(weights, key=lambda code: -weights[code])[:LANGUAGES_MAX])
