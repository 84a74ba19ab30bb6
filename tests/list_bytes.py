"""The bytes of lists in plain Python, from the words of sql/serving/0001_schema.sql.

Owns: ``blob`` and ``unpack``, which share no code with the batch or the web app.
"""

import math
import struct
from collections.abc import Sequence

STEPS = 2**20 - 2
Entry = tuple[int, float, int, int]  # post_id, score, co_likers, source


def blob(
    post_ids: Sequence[int],
    scores: Sequence[float] | None = None,
    co_likers: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
) -> bytes:
    """Return a list as serving.sqlite holds it: posts that three co-likers like, where nothing else is said.

    ``sources`` says which have none (2), where ``co_likers`` does not, and which were tried before their turn (3).
    """
    n = len(post_ids)
    if n == 0:
        return b""
    scores = scores or [1 / (1 + place) for place in range(n)]
    co_likers = co_likers or [0 if source == 2 else 3 for source in sources or [1] * n]
    lowest, offsets = min(post_ids), [post - min(post_ids) for post in post_ids]
    wide_posts, wide_counts = max(offsets) >= 1 << 24, max(co_likers) > 255
    low, high = (as_float32(end(filter(None, scores), default=0.0)) for end in (min, max))
    marks = [mark(score, low, high) for score in scores]
    tops = [value >> 16 for value in marks] + [0] * (n % 2)
    data = struct.pack(
        "<BBHIff", 2, wide_posts + 2 * wide_counts + 4 * (3 in (sources or ())), n, lowest, low, high
    )
    data += struct.pack(f"<{n}H", *(offset & 0xFFFF for offset in offsets))
    data += struct.pack(f"<{n}{'H' if wide_posts else 'B'}", *(offset >> 16 for offset in offsets))
    data += struct.pack(f"<{n}{'H' if wide_counts else 'B'}", *co_likers)
    data += struct.pack(f"<{n}H", *(value & 0xFFFF for value in marks))
    data += bytes(first + (second << 4) for first, second in zip(tops[::2], tops[1::2], strict=True))
    if 3 in (sources or ()):
        bits = sum((source == 3) << place for place, source in enumerate(sources or ()))
        data += bits.to_bytes((n + 7) // 8, "little")
    return data + b"\0" * (len(data) % 11 == 0)


def mark(score: float, low: float, high: float) -> int:
    """Return a score's place between the lowest and the highest."""
    if score == 0:
        return 0
    return 1 if low == high else 1 + round(math.log(as_float32(score) / low) / math.log(high / low) * STEPS)


def as_float32(value: float) -> float:
    """Return the nearest number of 32 bits."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def unpack(items: bytes) -> list[Entry]:
    """Read a list's bytes."""
    if not items:
        return []
    layout, widths, n, lowest, low, high = struct.unpack_from("<BBHIff", items)
    assert layout == 2
    columns, at = [], 16
    for code in ("H", "BH"[widths & 1], "BH"[widths >> 1 & 1], "H"):
        columns.append(struct.unpack_from(f"<{n}{code}", items, at))
        at += n * struct.calcsize(code)
    halves = [half for byte in items[at : at + (n + 1) // 2] for half in (byte & 15, byte >> 4)]
    at += (n + 1) // 2
    tried = int.from_bytes(items[at : at + (n + 7) // 8], "little") if widths & 4 else 0
    at += (n + 7) // 8 if widths & 4 else 0
    assert len(items) - at in (0, 1)
    return [
        (
            lowest + lower + (upper << 16),
            0.0 if marked + half == 0 else low * (high / low) ** ((marked + (half << 16) - 1) / STEPS),
            liked,
            (3 if tried >> place & 1 else 1) if liked else 2,
        )
        for place, (lower, upper, liked, marked, half) in enumerate(zip(*columns, halves[:n], strict=True))
    ]
