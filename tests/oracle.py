"""The ranking in slow, plain Python, from the rows of a World: what SQL and kernel must agree with.

Written from DESIGN.md and the parameters' descriptions, without the SQL.
"""

import struct
from collections import Counter, defaultdict
from math import floor, log1p
from typing import Any

from pipeline.ranking import Ranking
from pipeline.store.model import HOUR_US, PostFlag

Post = tuple[int, int]  # author_id, rkey
Likes = dict[tuple[int, Post], int]  # (liker, post): seen_us


def float32(value: float) -> float:
    """Round to single precision."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def existing_likes(rows: dict[str, list[Any]], now_us: int, window_hours: float) -> Likes:
    """Return who likes what, with the earliest time of a record that exists."""
    inactive = {actor for actor, _, status, _ in rows["actors"] if status}
    deleted = {actor: deleted_us for actor, _, _, deleted_us in rows["actors"]}
    deleted_posts = {(post[0], post[1]) for post in rows["posts"] if post[4]}
    likes: Likes = {}
    for liker, _, author, post_rkey, seen_us in rows["like_records"]:
        post = (author, post_rkey)
        if not now_us - window_hours * HOUR_US < seen_us <= now_us or liker == author:
            continue
        if liker in inactive or author in inactive or post in deleted_posts:
            continue
        if deleted[liker] >= seen_us or deleted[author] >= post_rkey >> 10:
            continue
        likes[liker, post] = min(seen_us, likes.get((liker, post), seen_us))
    return likes


def ages_of(rows: dict[str, list[Any]], now_us: int, window_hours: float) -> dict[int, float]:
    """Return how many hours ago each liker's first like was seen, of those that a stream reported; -1 when none was."""
    claimed = {(liker, rkey) for liker, rkey, _ in rows["claimed_likes"]}
    reported = [row for row in rows["like_records"] if row[:2] not in claimed]
    ages = {liker: -1.0 for liker, _ in existing_likes(rows, now_us, window_hours)}
    for (liker, _), seen_us in existing_likes(
        {**rows, "like_records": reported}, now_us, window_hours
    ).items():
        ages[liker] = max(ages[liker], (now_us - seen_us) / HOUR_US)
    return ages


def sampled(liker: int, post_rkey: int) -> int:
    """Return the number below 2^32 that decides whether a liker is in a popular post's sample."""
    x = (liker * 2654435761 + post_rkey % 2147483647) % 2**32
    return (x ^ x >> 15) * 1540483477 % 2**32


def answers(rows: dict[str, list[Any]]) -> dict[int, dict[Post, set[str]]]:
    """Return what each viewer answered each post with."""
    posts = {uri: post for post, uri in rows["uris"][0].items()} if "uris" in rows else {}
    actors = {did: actor for actor, did, _, _ in rows["actors"]}
    found: dict[int, dict[Post, set[str]]] = defaultdict(lambda: defaultdict(set))
    for did, uri, event in rows["interactions"]:
        if did in actors and uri in posts:
            found[actors[did]][posts[uri]].add(event)
    return found


def neighbours(
    rows: dict[str, list[Any]], now_us: int, ranking: Ranking
) -> tuple[dict[int, list[tuple[int, float]]], dict[int, float]]:
    """Return each viewer's (neighbour, weight), best first, and what their other co-likers weigh."""
    likes = existing_likes(rows, now_us, ranking.seed_window_days * 24)
    likers, liked = defaultdict(set), defaultdict(list)
    for (liker, post), seen_us in likes.items():
        likers[post].add(liker)
        liked[liker].append((seen_us, post))
    ages = ages_of(rows, now_us, ranking.seed_window_days * 24)
    # This includes people who like a post again that they liked long ago.
    active_days = min(ranking.viewer_active_days, ranking.seed_window_days)
    active = {liker for liker, _ in existing_likes(rows, now_us, active_days * 24)}
    visitors = {visit[0] for visit in rows["visits"]}
    visitors |= {did for did, _, event in rows["interactions"] if event == "pick"}
    active |= {actor for actor, did, status, _ in rows["actors"] if did in visitors and not status}
    answered = answers(rows)
    scales = {
        liker: (len(mine) + ranking.degree_smoothing) ** -ranking.degree_exponent
        * newness(ages[liker], ranking)
        for liker, mine in liked.items()
    }
    result, left_out = {}, {}
    for viewer in sorted(active):
        seeds = sorted(liked[viewer], key=lambda like: (-like[0], like[1]))
        seeds = seeds[: ranking.max_seeds]
        weights: dict[Post, float] = {}
        for place, (_, post) in enumerate(seeds):
            step = place / (len(seeds) - 1) if len(seeds) > 1 else 1.0
            weights[post] = (
                ranking.seed_weight_newest + (ranking.seed_weight_oldest - ranking.seed_weight_newest) * step
            )
        mine = {post for _, post in liked[viewer]}
        pick = ranking.seed_weight_pick * (1 - len(mine) / ranking.pick_fade_likes)
        asked = {}
        for post, events in answered[viewer].items():
            if "requestLess" in events:
                asked[post] = -ranking.seed_weight_less
            elif "requestMore" in events:
                asked[post] = ranking.seed_weight_more
            elif "pick" in events and post not in mine and pick > 0:
                asked[post] = pick
        asked = dict(sorted(asked.items(), key=lambda item: (-item[0][1], item[0][0]))[: ranking.max_seeds])
        weights |= asked
        sums: dict[int, float] = defaultdict(float)
        everybody = 0.0
        for post, weight in weights.items():
            size = len(likers[post])
            looked_at = [
                other
                for other in likers[post]
                if size <= ranking.max_seed_likers
                or sampled(other, post[1]) * size < ranking.max_seed_likers * 2**32
            ]
            for other in looked_at:
                if other == viewer:
                    continue
                value = floor(weight * size**-ranking.likers_exponent * 2**36 + 0.5) / 2**36
                sums[other] += value
                if post not in asked:  # each stands for as many as were not looked at
                    everybody += value * scales[other] * size / len(looked_at)
        weighted = [
            (other, float32(total**ranking.overlap_exponent * scales[other]))
            for other, total in sums.items()
            if total > 0
        ]
        weighted = sorted((pair for pair in weighted if pair[1] > 0), key=lambda pair: (-pair[1], pair[0]))
        if weighted:
            result[viewer] = weighted[: ranking.max_neighbours]
            left_out[viewer] = everybody - sum(weight for _, weight in result[viewer])
    return result, left_out


def ranked(
    rows: dict[str, list[Any]],
    now_us: int,
    ranking: Ranking,
    graph: dict[int, list[tuple[int, float]]],
    left_out: dict[int, float],
) -> dict[int, list[tuple[Post, float, int]]]:
    """Return each viewer's (post, score, co-likers), best first."""
    likes = existing_likes(rows, now_us, ranking.post_max_age_hours)
    dids = {did: (actor, status) for actor, did, status, _ in rows["actors"]}
    bad = PostFlag.REPLY | PostFlag.ADULT | PostFlag.HIDE
    rules = {row[:-1]: row[-1] for name in ("ruled_accounts", "ruled_posts") for row in rows.get(name, [])}
    levels: dict[Post, int] = defaultdict(int)
    for author, rkey, cause, level in rows["withheld"]:
        for post in [row[:2] for row in rows["posts"] if row[0] == author and rkey in (row[1], -1)]:
            if cause != 1 or rules.get(post, rules.get((author,))) is None:
                levels[post] = max(levels[post], level)
    allowed = {
        (author, rkey): created_us
        for author, rkey, created_us, _, deleted, flags, _ in rows["posts"]
        if not deleted
        and not flags & bad
        and not rules.get((author, rkey), rules.get((author,), flags & PostFlag.BLOCKED))
        and levels[author, rkey] < 3
        and (not ranking.media or flags & ranking.media)
        and now_us - created_us < ranking.post_max_age_hours * HOUR_US
    }
    likers, fresh, lately, hours = defaultdict(set), defaultdict(dict), {}, {}
    for (liker, post), seen_us in likes.items():
        likers[post].add(liker)
        if post in allowed and now_us - seen_us < ranking.candidate_window_hours * HOUR_US:
            age_hours = (now_us - seen_us) / HOUR_US
            fresh[liker][post] = (1 + age_hours / ranking.like_decay_hours) ** -ranking.like_decay_exponent
            hours[liker, post] = age_hours
            lately[liker, post] = (1 + age_hours / ranking.crowd_decay_hours) ** -ranking.crowd_decay_exponent
    refused = {(row[0], row[1]) for row in rows["interactions"] if row[2] in ("requestLess", "pick")}
    by_author_refused: dict[tuple[int, int], int] = defaultdict(int)
    for viewer, answered in answers(rows).items():
        for post, events in answered.items():
            by_author_refused[viewer, post[0]] += "requestLess" in events
    names = {actor: did for did, (actor, _) in dids.items()}
    uris = rows["uris"][0] if "uris" in rows else {}
    langs = {(row[0], row[1]): [code for code in row[6].split(",") if code] for row in rows["posts"]}
    ages = ages_of(rows, now_us, ranking.post_max_age_hours)
    in_memory: dict[int, float] = defaultdict(float)
    for (liker, _), seen_us in likes.items():
        if now_us - seen_us < ranking.crowd_memory_hours * HOUR_US:
            in_memory[liker] = max(in_memory[liker], (now_us - seen_us) / HOUR_US)
    ages = {liker: min(age, in_memory[liker]) for liker, age in ages.items()}
    crowds, shares = popular(fresh, lately, langs, ages, ranking, levels)
    listed = {post for posts in crowds.values() for post in posts}
    old = {post: max(now_us - allowed[post], 0) / HOUR_US for post in listed}
    next_ = foreseen(rows.get("forecast_trees", []), fresh, hours, ages, old, ranking)
    if sum(next_.values()) > 0:
        whole = sum(shares[post] for post in listed)
        for post in listed:
            soon = next_.get(post, 0.0) / sum(next_.values()) * whole
            shares[post] = (1 - ranking.forecast_weight) * shares[post] + ranking.forecast_weight * soon
    result = {}
    for viewer, near in graph.items():
        if dids[names[viewer]][1]:
            continue
        sums, counts = defaultdict(float), defaultdict(int)
        for other, weight in near:
            for post, value in fresh[other].items():
                sums[post] += weight * value
                counts[post] += 1
        spoken = language(viewer, names[viewer], rows, fresh, langs)
        reads = languages_read(viewer, names[viewer], rows, fresh, langs, ranking)
        kept = sum(weight for _, weight in near)
        heard, rest = ranking.crowd_weight * kept, left_out[viewer]
        if rest > 1e-6 * (kept + rest):
            heard += ranking.left_out_weight * rest
        for post in crowds.get(spoken) or crowds[""]:
            sums[post] += heard * shares[post]
        scored = []
        for post, similarity in sums.items():
            hidden = (names[viewer], uris.get(post)) in refused or by_author_refused[viewer, post[0]] >= (
                ranking.less_author_posts
            )
            if viewer in likers[post] or post[0] == viewer or hidden:
                continue
            age_hours = max(now_us - allowed[post], 0) / HOUR_US
            score = similarity**ranking.score_exponent * 0.5 ** (age_hours / ranking.half_life_hours)
            score *= len(likers[post]) ** -ranking.popularity_exponent
            if reads and langs[post] and not reads & set(langs[post]):
                score *= ranking.foreign_weight
            scored.append((post, float32(score), counts[post]))
        scored.sort(key=lambda item: (-item[1], -item[0][1], item[0][0]))
        taken: list[tuple[Post, float, int]] = []
        by_author: dict[int, int] = defaultdict(int)
        for item in scored:
            if (
                by_author[item[0][0]] < ranking.max_per_author
                and len(taken) < ranking.list_length
                and item[1] > 0
            ):
                by_author[item[0][0]] += 1
                taken.append(item)
        if taken:
            result[viewer] = taken
    return result


def language(
    viewer: int,
    did: str,
    rows: dict[str, list[Any]],
    fresh: dict[int, dict[Post, float]],
    langs: dict[Post, Any],
) -> str:
    """Return the last visit's first language, else the commonest of the viewer's fresh likes, else ''."""
    visits = [visit for visit in rows["visits"] if visit[0] == did]
    if visits and (asked := max(visits, key=lambda visit: visit[2])[1].split(",")[0]):
        return asked
    counted = Counter(code for post in fresh.get(viewer, {}) for code in langs[post])
    return min(counted, key=lambda code: (-counted[code], code)) if counted else ""


def languages_read(
    viewer: int,
    did: str,
    rows: dict[str, list[Any]],
    fresh: dict[int, dict[Post, float]],
    langs: dict[Post, Any],
    ranking: Ranking,
) -> set[str]:
    """Return the languages of the last visit and the common ones of fresh likes; none when nothing is known."""
    visits = [visit for visit in rows["visits"] if visit[0] == did]
    found = set(max(visits, key=lambda visit: visit[2])[1].split(",")) if visits else set()
    counted = Counter(code for post in fresh.get(viewer, {}) for code in langs[post])
    least = ranking.reading_share * sum(counted.values())
    return (found | {code for code, likes in counted.items() if likes >= least}) - {""}


def newness(age_hours: float, ranking: Ranking) -> float:
    """Return how much a liker counts whose first like is so old."""
    return min(max(age_hours, 0.0) / ranking.newcomer_hours, 1.0) if ranking.newcomer_hours else 1.0


def worth_and_crowd(posts: dict[Post, float], age_hours: float, ranking: Ranking) -> tuple[float, int]:
    """Return how much a liker of these posts counts in what is popular, and the author they like most."""
    by_author: dict[int, int] = defaultdict(int)
    for post in posts:
        by_author[post[0]] += 1
    crowd = min(by_author, key=lambda author: (-by_author[author], author))
    return (len(posts) + ranking.fallback_smoothing) ** -0.5 * newness(age_hours, ranking) ** 2, crowd


def foreseen(
    trees: list[Any],
    fresh: dict[int, dict[Post, float]],
    hours: dict[tuple[int, Post], float],
    ages: dict[int, float],
    old: dict[Post, float],
    ranking: Ranking,
) -> dict[Post, float]:
    """Return how much of the next likes each popular post is expected to get, by trees; ``old`` are the posts' ages."""
    windows = {"5m": 1 / 12, "15m": 0.25, "30m": 0.5}
    windows |= {f"{count}h": float(count) for count in (1, 2, 4, 8, 16, 24, 48)}
    known: dict[Post, dict[str, float]] = {post: {"age_hours": age} for post, age in old.items()}
    for name, window in windows.items():
        masses: dict[Post, dict[int, float]] = {post: defaultdict(float) for post in old}
        for liker, posts in fresh.items():
            if posts:
                worth, crowd = worth_and_crowd(posts, ages[liker], ranking)
                for post in posts.keys() & old.keys():
                    masses[post][crowd] += worth * (hours[liker, post] < window)
                    known[post]["idle_hours"] = min(known[post].get("idle_hours", 1e9), hours[liker, post])
        for post in old:
            known[post][f"mass_{name}"] = sum(log1p(mass) for mass in masses[post].values())
        whole = sum(known[post][f"mass_{name}"] for post in old) or 1.0
        for post in old:
            known[post][f"share_{name}"] = known[post][f"mass_{name}"] / whole
    result = {}
    for post in old:
        root = 0.0
        for _, _, inputs, thresholds, leaves in trees:
            answers = [known[post][name] > limit for name, limit in zip(inputs, thresholds, strict=True)]
            root += leaves[sum(1 << level for level, answer in enumerate(answers) if answer)]
        result[post] = max(root, 0.0) ** 2
    return result


def popular(
    fresh: dict[int, dict[Post, float]],
    lately: dict[tuple[int, Post], float],
    langs: dict[Post, list[str]],
    ages: dict[int, float],
    ranking: Ranking,
    levels: dict[Post, int],
) -> tuple[dict[str, list[Post]], dict[Post, float]]:
    """Return each language's popular posts, '' for all, and every post's share of the average liker by ``lately``."""
    masses: dict[Post, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    now: dict[Post, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    worths = 0.0
    for liker, posts in fresh.items():
        if not posts:
            continue
        worth, crowd = worth_and_crowd(posts, ages[liker], ranking)
        worths += worth
        for post, value in posts.items():
            masses[post][crowd] += value * worth
            now[post][crowd] += lately[liker, post] * worth
    scores = {post: float32(sum(log1p(mass) for mass in crowds.values())) for post, crowds in masses.items()}
    ordered = sorted(
        (post for post in scores if scores[post] > 0 and levels[post] < 2),
        key=lambda post: (-scores[post], -post[1], post[0]),
    )
    lists: dict[str, list[Post]] = {"": []}
    for code in {code for post in masses for code in langs[post]}:
        if sum(code in langs[post] for post in masses) >= ranking.fallback_min_posts:
            lists[code] = []
    for code, listed in lists.items():
        by_author = defaultdict(int)
        for post in ordered:
            if (not code or code in langs[post]) and by_author[post[0]] < ranking.fallback_max_per_author:
                by_author[post[0]] += 1
                listed.append(post)
        del listed[ranking.list_length :]
    return lists, {post: sum(log1p(mass) for mass in now[post].values()) / (worths or 1.0) for post in scores}


def arranged(items: list[Any], author_of: dict[Any, int], seen: set[Any], spacing: int) -> list[Any]:
    """Return posts with seen ones last and ``spacing`` places between two of an author."""
    left = [post for post in items if post not in seen] + [post for post in items if post in seen]
    placed: list[Any] = []
    while left:
        recent = {author_of[post] for post in placed[-spacing:]} if spacing else set()
        fitting = [post for post in left if author_of[post] not in recent]
        if not fitting:
            break
        placed.append(fitting[0])
        left.remove(fitting[0])
    return placed
