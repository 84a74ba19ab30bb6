"""Communities of taste: their names, languages and sizes.

Owns: which communities there are. Leaves to others: who belongs to them (``people``), what posts say (``sentences``).
"""

from dataclasses import dataclass

import numpy as np

from pipeline.simulate.randomness import Floats, Ints

# Language, share of the people, hour (UTC) of their busiest time. Together: busy 14-22 h, quiet 6-10 h.
LANGUAGES = (
    ("en", 0.60, 20.5),
    ("ja", 0.10, 13.0),
    ("pt", 0.10, 21.0),
    ("es", 0.07, 21.0),
    ("de", 0.07, 19.0),
    ("fr", 0.06, 19.0),
)
_TOPICS = (
    "news cats film art football gardening games birds books cooking science music "
    "space comics knitting cities history wrestling dogs law trains poetry after-dark maps"
)
# The community whose posts carry adult self-labels; a world of few communities has none.
ADULT_TOPIC = "after-dark"


@dataclass(frozen=True, slots=True)
class Communities:
    """``languages`` index LANGUAGES and ``sizes`` sum to 1; both have one entry per community."""

    names: tuple[str, ...]
    languages: Ints
    sizes: Floats
    adult: int

    def __len__(self) -> int:
        return len(self.names)

    def language(self, community: int) -> str:
        """Return the language code of a community."""
        return LANGUAGES[int(self.languages[community])][0]

    def topic(self, community: int) -> str:
        """Return what a community talks about, in one word."""
        return self.names[community].rsplit("-", 2)[0]


def make_communities(count: int) -> Communities:
    """Return ``count`` communities: each language has its share, and sizes fall slowly within a language."""
    shares = np.array([share for _, share, _ in LANGUAGES])
    # The next community goes to the language furthest below its share.
    languages: list[int] = []
    have = np.zeros(len(shares))
    for number in range(count):
        chosen = int(np.argmax(shares * (number + 1) - have))
        languages.append(chosen)
        have[chosen] += 1
    codes = np.array(languages, np.int64)
    sizes = np.zeros(count)
    for code in set(languages):
        members = np.flatnonzero(codes == code)
        ranks = 1.0 / np.sqrt(np.arange(1, len(members) + 1))
        sizes[members] = shares[code] * ranks / ranks.sum()
    names = _TOPICS.split()
    topics = [names[number % len(names)] for number in range(count)]
    unique = tuple(
        f"{topic}-{LANGUAGES[code][0]}-{n}"
        for n, (topic, code) in enumerate(zip(topics, languages, strict=True))
    )
    return Communities(
        unique, codes, sizes / sizes.sum(), topics.index(ADULT_TOPIC) if ADULT_TOPIC in topics else -1
    )
