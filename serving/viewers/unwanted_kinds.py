"""Which posts are of the kind that a viewer has just rejected.

Owns: that decision, from the posts' sketches (sql/serving/0003_tastes.sql). Leaves to others: what follows
for the order (``seen_order``), the answers (``viewer_memory``), and what a batch run makes of them, which is
the better half.

One "show less" may be about the post. From LESS_MIN of them on that lie close together, with nothing liked or
asked for more of so close, a post near as many goes behind everything else. It is there still, at the end of
the list, for a sketch is 64 bits and may be wrong.
"""

from collections.abc import Mapping, Sequence

LESS_MIN = 3
NEAR_BITS = 20  # of 64: by chance, one pair of unrelated posts in 500 is as near


def unwanted(
    posts: Sequence[int], less: Sequence[int], more: Sequence[int], sketches: Mapping[int, int]
) -> set[int]:
    """Return those of a list's posts that are near LESS_MIN rejected ones more than wanted ones."""
    rejected = [sketches[post] for post in less if post in sketches]
    if len(rejected) < LESS_MIN:
        return set()
    wanted = [sketches[post] for post in more if post in sketches]
    found = set()
    for post in posts:
        sketch = sketches.get(post)
        if sketch is not None and _near(sketch, rejected) - _near(sketch, wanted) >= LESS_MIN:
            found.add(post)
    return found


def _near(sketch: int, others: Sequence[int]) -> int:
    # Python's numbers have no end of bits: without the mask, those of opposite sign would differ in countless ones.
    return sum(((sketch ^ other) & 0xFFFFFFFFFFFFFFFF).bit_count() <= NEAR_BITS for other in others)
