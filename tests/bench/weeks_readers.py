"""Readers of the feed on a simulated network: when they come, how far they page, what they like, whether they stay.

Owns: ``Readers`` and every assumption about them. Leaves to others: what they are shown (``weeks_loop``), what a post
is worth to whom (``World.like_weights``). The assumptions, none of them measured on real readers:

- **Sessions.** A reader would have ``rate`` sessions a day, drawn from a gamma law of shape 2, spread over the day as
  the world spreads its people's activity. At most one a step of the loop: sessions that near are one.
- **Depth.** A session pages down a number of posts that is geometrically distributed, whatever they are.
- **Likes.** Who is shown a post is like somebody who would make ``tries`` likes by the world's law: they like it when
  one of them falls on it, with the chance 1 - exp(-tries · like_weight). ``tries`` is the same for all, and is set so
  that the first default lists have a plausible share of likes (``tries_for``). Nothing else counts: not the place in
  the list, not what came before. A post that was seen before has no second chance.
- **Satisfaction** is the mean chance of the last posts seen, an exponential average over ``MEMORY_POSTS``. It averages
  chances, not likes: a like is drawn, and what a reader feels should not hang on that luck. ``used_to`` is the same
  over ``HABIT_POSTS``, so that people get used to better and to worse. Posts that a page is short of are worth nothing.
- **Coming back.** The rate is multiplied by satisfaction / used_to, from LEAST_RETURN to MOST_RETURN.
- **Leaving.** After PATIENCE sessions in a row at whose end that quotient is below GLOOM, a reader never comes again.

All draws are hashes of the seed, the person and the step or post. So two runs on one world differ by their lists alone:
the same reader with the same habits comes at the same times, pages as far, and likes the same posts.
"""

from copy import deepcopy

import numpy as np

from pipeline.simulate.randomness import Flags, Floats, Ints, fraction, hashed
from pipeline.simulate.world.day_plan import hour_weights
from pipeline.store.model import HOUR_US

SESSIONS_A_DAY, POSTS_A_SESSION, POSTS_MOST = 2.0, 25.0, 120
MEMORY_POSTS, HABIT_POSTS = 100.0, 2000.0
LEAST_RETURN, MOST_RETURN = 0.2, 2.0
GLOOM, PATIENCE = 0.6, 6
# When readers' habits are set, so many posts of everybody's mean are added to what each has seen.
SMOOTHING_POSTS = 50.0


class Readers:
    """The readers, by row; ``people`` are their numbers in the world, ``left`` who never comes again."""

    def __init__(self, people: Ints, peak_hours: Floats, seed: int, tries: float) -> None:
        self.people, self.tries = people, tries
        self._peaks, self._seed = peak_hours, seed
        count = len(people)
        self.rate = np.random.default_rng([seed, 51]).gamma(2.0, SESSIONS_A_DAY / 2, count)
        self.left: Flags = np.zeros(count, np.bool_)
        self.satisfaction: Floats = np.zeros(count)
        self.used_to: Floats = np.zeros(count)
        self._gloomy: Ints = np.zeros(count, np.int64)
        self._worth, self._posts = np.zeros(count), np.zeros(count)
        self._settled = False

    def copy(self) -> "Readers":
        """Return the same readers, to go on under other lists."""
        return deepcopy(self)

    def returning(self) -> Floats:
        """Return by what each reader's rate of sessions is multiplied; 0 for who has left."""
        quotient = (
            self.satisfaction / np.maximum(self.used_to, 1e-12)
            if self._settled
            else np.ones(len(self.people))
        )
        return np.where(self.left, 0.0, np.clip(quotient, LEAST_RETURN, MOST_RETURN))

    def coming(self, at_us: int, hours: float) -> Ints:
        """Return the rows of those who have a session in the hours from a time."""
        middle = np.array([(at_us / HOUR_US + hours / 2) % 24])
        busy = np.array([hour_weights(middle, float(peak))[0] for peak in self._peaks])
        chance = 1 - np.exp(-self.rate * self.returning() * busy * hours / 24)
        return np.flatnonzero(fraction(hashed(self._seed, 52, self.people, at_us // HOUR_US)) < chance)

    def depths(self, rows: Ints, at_us: int) -> Ints:
        """Return how many posts each pages down in the session of a time, at least 1."""
        draws = fraction(hashed(self._seed, 53, self.people[rows], at_us // HOUR_US))
        stop = np.log1p(-1 / POSTS_A_SESSION)
        return np.minimum(1 + (np.log1p(-draws) / stop).astype(np.int64), POSTS_MOST)

    def chances(self, weights: Floats) -> Floats:
        """Return the chance of a like for weights of the world's law."""
        return 1 - np.exp(-self.tries * weights)

    def like(self, rows: Ints, posts: Ints, chances: Floats) -> Flags:
        """Tell which posts the readers beside them like; a pair's draw is always the same."""
        return fraction(hashed(self._seed, 54, self.people[rows], posts)) < chances

    def feel(self, rows: Ints, posts: Ints, chances: Floats) -> None:
        """Let readers, each at most once, remember a session of so many ``posts`` with these sums of ``chances``."""
        self._worth[rows] += chances
        self._posts[rows] += posts
        if not self._settled:
            return
        mean = chances / posts
        for average, memory in ((self.satisfaction, MEMORY_POSTS), (self.used_to, HABIT_POSTS)):
            kept = np.exp(-posts / memory)
            average[rows] = kept * average[rows] + (1 - kept) * mean
        gloomy = self.satisfaction[rows] < GLOOM * self.used_to[rows]
        self._gloomy[rows] = np.where(gloomy, self._gloomy[rows] + 1, 0)
        self.left |= self._gloomy >= PATIENCE

    def settle(self) -> None:
        """From now on, let what readers have seen so far be what they are used to; before, nothing moves them."""
        mean = self._worth.sum() / max(self._posts.sum(), 1.0)
        self.used_to = (self._worth + SMOOTHING_POSTS * mean) / (self._posts + SMOOTHING_POSTS)
        self.satisfaction = self.used_to.copy()
        self._settled = True


def tries_for(weights: Floats, share: float) -> float:
    """Return the ``tries`` with which the mean chance of posts with these weights is the share; by bisection."""
    low, high = 0.0, 1.0
    while (1 - np.exp(-high * weights)).mean() < share:
        high *= 2
        if high > 1e12:
            raise ValueError(f"no number of tries gives {share:.1%} likes: too many posts are worth nothing")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - np.exp(-middle * weights)).mean() < share else (low, middle)
    return high
