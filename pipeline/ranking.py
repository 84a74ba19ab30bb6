"""The parameters of the ranking: what each means, its unit, and where its default comes from.

Owns: ``Ranking``, the check of a table of parameters, and which parameters decide the neighbours, which feeds can
then share. Leaves to others: which feed has which (``feeds``), and using them. ``sql/batch`` is the readable
definition. ``sql/batch/params.sql`` repeats the defaults that SQL uses, and a test holds the two equal.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pipeline.errors import SettingError, unknown


def _parameter(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Ranking:
    """Every parameter of a batch run; ``ranking_from`` makes one from foryou.toml.

    The sources named below: "For You" is the parameters its author published, "static split" the recall@20
    of 29,858 users of a public data set, "cost" a choice that bounds work.
    """

    # -- neighbours: who shares the viewer's taste --------------------------------------------------------
    # Days of likes that are kept in the lake, and from which seeds are taken. For You: 90.
    seed_window_days: int = _parameter(90, 1, 3650)
    # A viewer's newest likes that start the search. For You: 500.
    max_seeds: int = _parameter(500, 1, 100_000)
    # Weights of the newest and of the oldest seed; in between they are linear by place, and a single seed has the
    # oldest's. For You: 0.1 to 1.0, so that the latest likes do not dominate (a 27-day test: -2 % "show less"). Each
    # tenth more gains about 0.003 of the optimum on the simulated network, and loses 0.006 to 0.01 after an evening of
    # twenty likes against one's taste (bench_optimum.py --spree). 0.2 loses what a like_decay_hours of 0.4 gains then.
    seed_weight_newest: float = _parameter(0.2, 0.0, 1000.0)
    seed_weight_oldest: float = _parameter(1.0, 0.0, 1000.0)
    # Weight of a post answered with "show less", held against its likers, and of one answered with "show more". With
    # 0.5 or more, ten such answers take a community's share of a list from 27 % to 0. Without them it would be 42 %
    # next (tests/test_batch_show_less.py).
    seed_weight_less: float = _parameter(1.0, 0.0, 1000.0)
    seed_weight_more: float = _parameter(1.0, 0.0, 1000.0)
    # Weight of a post that a viewer picked to begin with, and the number of likes with which it is 0; in between it is
    # linear. Twenty likes make a list of their own; with so many, ten picks and the likes weigh about the same.
    seed_weight_pick: float = _parameter(1.0, 0.0, 1000.0)
    pick_fade_likes: int = _parameter(50, 1, 1_000_000)
    # A shared like counts likers(post)^-likers_exponent. Static split: 0.5 is better than 0 and 1.
    likers_exponent: float = _parameter(0.5, 0.0, 4.0)
    # A co-liker's weight is divided by (likes in the window + degree_smoothing)^degree_exponent: somebody who likes
    # everything says little. For You: 1, which was best or equal on every set once likes decay as they do here.
    degree_exponent: float = _parameter(1.0, 0.0, 4.0)
    degree_smoothing: float = _parameter(10.0, 0.0, 1e6)
    # A liker counts fully once their first like in the window has this age, and before in proportion to its age. It is
    # the first one that a stream or an archive reported. With 0 they count from the first like. So an account made to
    # get near others must wait for days. Ten accounts that like what a community likes reach 22 % of its first pages
    # without this, and none with it (tests/bench/bench_ring.py).
    # On the simulated network it costs nothing. In sets of a few days nearly all are newcomers, and it costs with
    # parameters tuned for each: on news 0.007 recall@30 and 0.004 NDCG (0.011 and 0.006 for those with few likes), on
    # retweets 0.005 NDCG, at the same recall (0.002 less, and its interval includes 0).
    newcomer_hours: float = _parameter(72.0, 0.0, 2160.0)
    # A neighbour's weight = (sum over shared likes)^overlap_exponent / the divisor above. Above 1, sharing much counts
    # for more, and what little overlap loses goes to the crowd (left_out_weight). With 1.25 and left_out_weight 1
    # instead of 1 and 3, the simulated network gains up to 0.025 of the optimum, and retweets and news lose nothing.
    # 1.5 gains up to 0.04 there, halves what a ring of 500 aged accounts reaches, and costs retweets 0.016 of recall.
    overlap_exponent: float = _parameter(1.25, 0.1, 4.0)
    # Co-likers kept as neighbours. Cost: 300 takes a third of the time of 1000.
    max_neighbours: int = _parameter(300, 1, 20_000)
    # Likers of one seed post that are used; of a post with more, a fixed sample. Cost: such posts say little of taste
    # and cause nearly all the work.
    max_seed_likers: int = _parameter(300, 2, 1_000_000)
    # A viewer is anybody who liked something in so many days, or ever opened the feed. Cost.
    viewer_active_days: float = _parameter(8.0, 0.01, 3650.0)

    # -- candidates: what the neighbours liked ------------------------------------------------------------
    # Kinds of media of which a post needs one: 8 images, 16 video, 32 a link, 64 a quote, or their sums; 0: all posts,
    # with or without. In foryou.toml also by name: media = "video", media = ["images", "video"].
    media: int = _parameter(0, 0, 120)
    # Hours of likes that make a post a candidate. For You: the last 24-48 h.
    candidate_window_hours: float = _parameter(48.0, 0.1, 2400.0)
    # Age at which a post stops being a candidate: posts are stored for as long (store.model.POST_DAYS). On Bluesky 99 %
    # have their last engagement within 5.6 days; of the older ones those count that are liked again. A week in place of
    # two loses 0.035 of recall on retweets and nothing elsewhere. It limits the days of likes that the candidates job
    # reads, so popularity and "already liked" look back this far. No like is missed: a post is never liked before it is
    # made, so all likes of a younger post are younger too.
    post_max_age_hours: float = _parameter(336.0, 0.1, 2400.0)
    # A neighbour's like counts (1 + its age / like_decay_hours)^-like_decay_exponent. No parameter matters more:
    # without it recall@30 on retweets falls from 0.635 to 0.520, and the share of the optimum on the simulated network
    # from 0.69 to 0.58. There a power law did better than any half-life, for viewers with few likes and with many.
    # News would do best with 1 h and 6. Beside 0.5, 0.4 gains 0.009 of recall on news and 0.002 to 0.006 of the
    # optimum, and loses 0.001 on retweets. Less gains more of the optimum still, but retweets lose, and rings gain
    # (tests/bench/RESULTS.md, what a like is worth).
    like_decay_hours: float = _parameter(0.4, 0.001, 2400.0)
    like_decay_exponent: float = _parameter(1.0, 0.0, 10.0)
    # The crowd is a neighbour that everybody has: what is popular now in the viewer's language. It adds to a post's
    # similarity (left_out_weight · what the co-likers outside the neighbours weigh + crowd_weight · the weight of the
    # neighbours) · the post's share of the crowd (everybody.sql, crowd_shares.sql). So the crowd counts most for
    # viewers who like what everybody likes, and least for those who like what few like. News would do best with a
    # left_out_weight of 3 to 10, retweets with 0 to 1. With a crowd that decays soon, these gain 0.01 to 0.04 of the
    # optimum on the simulated network, compared with a tenth of a crowd that decays as neighbours' likes do.
    left_out_weight: float = _parameter(1.0, 0.0, 1000.0)
    crowd_weight: float = _parameter(1.0, 0.0, 1000.0)
    # In the crowd a like counts (1 + its age / crowd_decay_hours)^-crowd_decay_exponent: half after five minutes. A
    # crowd has enough of the newest likes, neighbours have not. News would do best with less time still.
    crowd_decay_hours: float = _parameter(1.0, 0.001, 2400.0)
    crowd_decay_exponent: float = _parameter(8.0, 0.0, 20.0)
    # In the crowd a liker is as new as their first like of so many hours: whoever was silent for longer is new again.
    # So accounts that were made to push a post, and waited, gain nothing by it (tests/bench/RESULTS.md, rings).
    crowd_memory_hours: float = _parameter(96.0, 0.1, 2400.0)
    # How much of the crowd is a forecast of the next hours (batch/forecast): 0 takes what is liked now as it is, as is
    # done before there is a forecast. On later days of both sets all of it does best: news gains 0.041 recall@30 and
    # 0.016 NDCG, retweets 0.007 and 0.016 (tests/bench/RESULTS.md).
    forecast_weight: float = _parameter(1.0, 0.0, 1.0)
    # A post's score is multiplied by this when it is in none of the languages that a viewer reads: those of their
    # visits, and those that have at least this share of their fresh likes. Whoever has neither reads everything.
    # Simulated, weak to strong tastes: 0.3 brings the own language of viewers who are not English from .34, .46, .56 of
    # the first page to about .46, .56, .64, for at most .007 of the share of the optimum; 0 brings little more.
    foreign_weight: float = _parameter(0.3, 0.0, 1.0)
    reading_share: float = _parameter(0.05, 0.0, 1.0)
    # Score = similarity^score_exponent · 0.5^(age / half_life_hours) / likers^popularity_exponent. For You: 0.5, 6 h
    # (+5 % likes), 0.2-0.3. Here the age of each like does what the post's age did there, and does it better. A post's
    # half-life of 6 h costs half the recall on retweets. Two weeks for both limits of age gain 0.21 there over 96 and
    # 72 h, and 0.03 on news. On the simulated network weak and middle tastes lose 0.006 of the optimum, and first
    # pages are less alike. The popularity_exponent is the dial of variety, for readers and feeds, and 0 on purpose.
    # With 0.1 simulated first pages are as different from one another as the best possible ones, at 0.005 of the
    # optimum at most (tests/bench/RESULTS.md, variety). But retweets lose 0.007 of recall, and news more. For You has
    # 0.2 to 0.3 (-8 % "show less").
    score_exponent: float = _parameter(0.5, 0.05, 4.0)
    half_life_hours: float = _parameter(336.0, 0.01, 2400.0)
    popularity_exponent: float = _parameter(0.0, 0.0, 4.0)

    # -- lists --------------------------------------------------------------------------------------------
    # Posts of a list: ten pages of thirty.
    list_length: int = _parameter(300, 1, 5000)
    # Posts of one author in a list, and places between two of them. For You: 3 and 3.
    max_per_author: int = _parameter(3, 1, 1000)
    author_spacing: int = _parameter(3, 0, 100)
    # Share of a list's places that try a post few have seen, and how many likers such a post has at most
    # (batch/lists/trial_places.py).
    trial_share: float = _parameter(0.0, 0.0, 0.5)
    trial_max_likers: int = _parameter(5, 1, 1_000_000)
    # After "show less" for so many posts of one author, none of that author's posts is listed, as long as the answers
    # are read. One answer may be about the post; two are about the author.
    less_author_posts: int = _parameter(2, 1, 100_000)
    # Posts that a language needs to have a fallback list of its own.
    fallback_min_posts: int = _parameter(20, 1, 1_000_000)
    # Posts of one author in what is popular in a language: in the crowd, and in fallback lists, which keep to
    # max_per_author as well. The crowd is everybody's, so what a viewer sets for themselves can't change it.
    fallback_max_per_author: int = _parameter(3, 1, 1000)
    # Added to a liker's number of likes before the square root in the fallback lists. So an account with one like,
    # which is cheap to make, weighs about as much as an ordinary one.
    fallback_smoothing: float = _parameter(10.0, 0.0, 1e6)

    # -- running ------------------------------------------------------------------------------------------
    # Viewers computed at once; limits memory.
    block_viewers: int = _parameter(20_000, 1, 10_000_000)
    # Minutes that a superseded list stays readable, so that a page cursor still finds it.
    keep_minutes: float = _parameter(30.0, 0.0, 100_000.0)
    # Gigabytes that DuckDB may use before it spills to DATA_DIR/tmp.
    memory_limit_gb: float = _parameter(8.0, 0.1, 10_000.0)


# What a co-liker's weight depends on: feeds with the same values have the same neighbours.
NEIGHBOUR_PARAMETERS = (
    "seed_window_days", "max_seeds", "seed_weight_newest", "seed_weight_oldest", "seed_weight_less",
    "seed_weight_more", "seed_weight_pick", "pick_fade_likes", "likers_exponent", "degree_exponent", "degree_smoothing",
    "newcomer_hours", "overlap_exponent", "max_neighbours", "max_seed_likers", "viewer_active_days",
)  # fmt: skip

# What a reader may set for themselves (sql/batch/list_viewers.sql): it changes nothing that all readers share.
OWN_PARAMETERS = (
    "half_life_hours", "popularity_exponent", "crowd_weight", "left_out_weight", "max_neighbours", "max_per_author",
    "author_spacing",
)  # fmt: skip

MEDIA = {"images": 8, "video": 16, "link": 32, "quote": 64}


def neighbours_key(ranking: Ranking) -> str:
    """Return twelve hex digits that are equal exactly when the neighbour parameters are."""
    values = asdict(ranking)
    text = json.dumps([float(values[name]) for name in NEIGHBOUR_PARAMETERS])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def with_own(ranking: Ranking, values: Mapping[str, Any]) -> Ranking:
    """Return the parameters by which a reader's list is made who set some themselves."""
    own = {name: values[name] for name in OWN_PARAMETERS if name in values}
    if "max_neighbours" in own:
        own["max_neighbours"] = min(own["max_neighbours"], ranking.max_neighbours)
    return ranking_from({**asdict(ranking), **own})


def ranking_from(table: Mapping[str, Any], where: str = "[ranking]") -> Ranking:
    """Return the parameters a table sets, defaults elsewhere; SettingError, naming the table, when it is wrong."""
    known = {item.name: item for item in fields(Ranking)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise SettingError(f"{where} {unknown('parameter', name, list(known))}")
        item = known[name]
        if name == "media":
            value = _media(value, where)
        whole = item.type is int
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise SettingError(
                f"{where} {name} = {value!r}: must be a {'whole number' if whole else 'number'}"
            )
        low, high = item.metadata["low"], item.metadata["high"]
        if not math.isfinite(value) or not low <= value <= high:
            raise SettingError(f"{where} {name} = {value!r}: must be from {low:g} to {high:g}")
        values[name] = value if whole else float(value)
    ranking = Ranking(**values)
    if ranking.candidate_window_hours > ranking.post_max_age_hours:
        raise SettingError(f"{where} candidate_window_hours must not exceed post_max_age_hours")
    return ranking


def _media(value: Any, where: str) -> Any:
    """Return the number of one or several kinds of media given by name; any other value as it is."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        if isinstance(value, int) and not isinstance(value, bool) and value & ~sum(MEDIA.values()):
            raise SettingError(f"{where} media = {value!r}: must be a sum of 8, 16, 32 and 64")
        return value
    if not all(isinstance(name, str) and name in MEDIA for name in names):
        raise SettingError(f"{where} media = {value!r}: expected one or more of {', '.join(MEDIA)}")
    return sum(MEDIA[name] for name in set(names))
