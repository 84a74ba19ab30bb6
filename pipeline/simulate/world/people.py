"""The people of a world: DIDs, how much each does a day, what each likes.

Owns: everything about a person that does not change. Leaves to others: when they act (``day_plan``), which accounts
are hidden (``account_changes``), keys (``accounts``).

Rates come from quantiles, not draws, so a small world has the same spread as a large one, whatever its seed.
"""

from statistics import NormalDist

import numpy as np

from pipeline.simulate.parameters import CLUSTERING, WorldParameters
from pipeline.simulate.randomness import Bytes, Flags, Floats, Ints, fraction, hashed, seeded_generator
from pipeline.simulate.text_columns import did_matrix
from pipeline.simulate.world import names
from pipeline.simulate.world.communities import LANGUAGES, Communities, make_communities

WEEK_DAYS = 8.0  # the calibration's "week"
# Log-normal rates in 8 days, fitted to the counts of people with at least one.
NEVER_LIKE = 0.23
LEAST = 1.3  # the fewest likes of a person who likes
LIKES = (1.25, 2.55)
LIKES_MOST = 70_000.0
BEND = 0.2  # the busiest do less than the log-normal law
POSTS, REPOSTS, FOLLOWS = (0.0, 2.6), (0.0, 2.7), (0.0, 2.4)  # then scaled to the means
POSTS_MEAN, REPOSTS_MEAN, FOLLOWS_MEAN = 7.6, 6.6, 3.5
REPLY_SHARE = 0.456
READS_ENGLISH = 0.5  # an assumption, of those whose taste does not say so
# What apps request, assumptions too; all others name the home language.
REQUESTS_ENGLISH = 0.1
REQUESTS_NOTHING = 0.1
# What profiles say of all posts of their owners, up to these shares of all people.
_SELF_LABELS = (
    (0.04, ("!no-unauthenticated",)),
    (0.045, ("!no-promote",)),
    (0.05, ("porn",)),
    (0.052, ("!no-unauthenticated", "sexual")),
)


class People:
    """The people, by number 0 .. count - 1.

    ``like_rate``, ``repost_rate``, ``follow_rate``, ``post_rate``, ``reply_rate``: events a day. ``taste``:
    (count, communities), rows sum to 1. ``home``: the community each belongs to first. ``reads``: (count, languages),
    which of LANGUAGES each reads; a post in another is worth nothing to them. ``requested``: which of LANGUAGES each
    one's app requests, -1 for none.
    """

    def __init__(self, parameters: WorldParameters) -> None:
        count = self.count = parameters.users
        self.seed = parameters.seed
        self.communities: Communities = make_communities(parameters.communities)
        numbers = np.arange(count, dtype=np.int64)
        self.did_bytes: Bytes = did_matrix(hashed(self.seed, 1, numbers))
        self.dids: list[str] = [row.tobytes().decode() for row in self.did_bytes]
        self.number: dict[str, int] = {did: number for number, did in enumerate(self.dids)}
        marks = hashed(self.seed, 2, numbers)
        # How long before the stream a client writes a record; constant per person, so that rkeys stay unique.
        self.lag_us: Ints = 40_000 + (marks % np.uint64(900_000)).astype(np.int64)
        self._set_rates(seeded_generator(self.seed, 1))
        self._set_tastes(seeded_generator(self.seed, 2), CLUSTERING[parameters.clustering])

    def affinity(self, people: Ints, authors: Ints) -> Floats:
        """Return how much each person likes each author, from 0.25 to 1; it is fixed for each pair."""
        draw = fraction(hashed(self.seed, 3, people, authors))
        result: Floats = 0.25 + 0.75 * draw * draw
        return result

    def handle(self, number: int) -> str:
        """Return a person's handle."""
        return names.handle(number)

    def likes_most(self, number: int) -> list[str]:
        """Return the topics that a person likes more than others do, the favourite first; at most two."""
        taste = self.taste[number]
        best = np.argsort(-taste, kind="stable")[:2].tolist()
        topics = [
            self.communities.topic(int(each)) for each in best if taste[each] >= 0.15 or each == best[0]
        ]
        return list(dict.fromkeys(topics))

    def about(self, number: int) -> str:
        """Return what a person's profile says."""
        return f"Here for {' and '.join(self.likes_most(number))}. Simulated."

    def self_labels(self, number: int) -> tuple[str, ...]:
        """Return what a person's profile says of all their posts: most say nothing."""
        draw = float(fraction(hashed(self.seed, 42, np.array([number])))[0])
        return next((values for most, values in _SELF_LABELS if draw < most), ())

    def _set_rates(self, rng: np.random.Generator) -> None:
        count = self.count
        inverse = NormalDist().inv_cdf
        quantiles = np.array([inverse((n + 0.5) / count) for n in range(count)])

        def scores(raw: Floats) -> Floats:
            ranked = np.empty(count)
            ranked[np.argsort(raw)] = quantiles
            return ranked

        busy = rng.normal(size=count)

        def spread(mu_sigma: tuple[float, float], kinship: float, most: float) -> Floats:
            raw = kinship * busy + np.sqrt(1 - kinship**2) * rng.normal(size=count)
            score = scores(raw)
            rates = np.exp(mu_sigma[0] + mu_sigma[1] * score - BEND * np.maximum(score - 1.0, 0.0) ** 2)
            return np.minimum(rates, most)

        # Nobody can like more posts than a small network has.
        written = count * POSTS_MEAN
        likes = np.maximum(spread(LIKES, 0.9, min(LIKES_MOST, 0.3 * written)), LEAST)
        posts, reposts, follows = (
            _scaled(spread(mu_sigma, 0.8, 400.0), mean)
            for mu_sigma, mean in ((POSTS, POSTS_MEAN), (REPOSTS, REPOSTS_MEAN), (FOLLOWS, FOLLOWS_MEAN))
        )
        # People who never like do something else instead.
        others = rng.permutation(count)[: int(NEVER_LIKE * count)]
        likes[others] = 0.0
        reposts[others] = np.maximum(reposts[others], LEAST / 2)
        follows[others] = np.maximum(follows[others], LEAST / 2)
        lean = np.clip(rng.beta(2.0, 2.0, size=count), 0.02, 0.98)  # a person's share of replies
        lean *= REPLY_SHARE / (np.sum(lean * posts) / posts.sum())
        lean = np.minimum(lean, 0.98)
        self.like_rate: Floats = likes / WEEK_DAYS
        self.repost_rate: Floats = reposts / WEEK_DAYS
        self.follow_rate: Floats = follows / WEEK_DAYS
        self.reply_rate: Floats = posts * lean / WEEK_DAYS
        self.post_rate: Floats = posts * (1 - lean) / WEEK_DAYS
        # Expected active days follow from the sum of all rates.
        total = WEEK_DAYS * (
            self.like_rate + self.repost_rate + self.follow_rate + self.post_rate + self.reply_rate
        )
        self.active_share: Floats = np.clip(1 - np.exp(-0.095 * total**0.68), 0.02, 1.0)

    def _set_tastes(self, rng: np.random.Generator, own_share: float) -> None:
        sizes, languages = self.communities.sizes, self.communities.languages
        first = rng.choice(len(sizes), size=self.count, p=sizes)
        taste = np.zeros((self.count, len(sizes)))
        rows = np.arange(self.count)
        weights = rng.dirichlet((6.0, 2.5, 1.0), size=self.count)
        weights = -np.sort(-weights, axis=1)
        taste[rows, first] += weights[:, 0]
        for place in (1, 2):
            other = rng.choice(len(sizes), size=self.count, p=sizes)
            for code in set(languages.tolist()):  # further tastes are mostly in one's own language
                members = np.flatnonzero(languages == code)
                mine = np.flatnonzero((languages[first] == code) & (rng.random(self.count) < 0.8))
                other[mine] = rng.choice(members, size=len(mine), p=sizes[members] / sizes[members].sum())
            taste[rows, other] += weights[:, place]
        self.home: Ints = first.astype(np.int64)
        self.reads: Flags = np.zeros((self.count, len(LANGUAGES)), bool)
        for code in set(languages.tolist()):  # whoever has a taste in another language reads it
            self.reads[:, code] = taste[:, languages == code].any(axis=1)
        self.reads[:, 0] |= fraction(hashed(self.seed, 43, rows)) < READS_ENGLISH
        draw = fraction(hashed(self.seed, 46, rows))
        self.requested: Ints = np.where(draw < REQUESTS_ENGLISH, 0, languages[first]).astype(np.int64)
        self.requested[draw >= 1 - REQUESTS_NOTHING] = -1
        self.taste: Floats = own_share * taste + (1 - own_share) * sizes
        self.taste[~self.reads[:, languages]] = 0.0
        self.taste /= self.taste.sum(axis=1, keepdims=True)
        self.taste_sums: Floats = np.cumsum(self.taste, axis=1)
        self.peak_hour: Floats = np.array([LANGUAGES[int(code)][2] for code in languages[first]])

    def choose_communities(self, people: Ints, draws: Floats) -> Ints:
        """Return a community for each person, drawn by taste; ``draws`` are uniform in [0, 1)."""
        result: Ints = np.minimum(
            (draws[:, None] >= self.taste_sums[people]).sum(axis=1), len(self.communities) - 1
        ).astype(np.int64)
        return result


def _scaled(rates: Floats, mean: float) -> Floats:
    result: Floats = rates * (mean / rates.mean())
    return result
