"""``foryou explain VIEWER --why``: a whole list, who brought each post there, and what other parameters change.

Owns: the list under changed parameters, and the reasons for its first posts. Leaves to others: the inputs
(``viewer_inputs``), the ranking itself (``sql/batch``), showing it (``explain_text``; the web app's page /why reads
the JSON).

The ranking's own SQL computes the list again. The rules after it (unseen posts first, places between posts of one
author, trial posts) are applied here in plain Python, for the web app's sandbox lets no program compile code. A test
compares the result with the batch's lists. Popular posts come from the viewer's list as it is.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import asdict, fields
from pathlib import Path

from pipeline.batch.inputs import sql_steps
from pipeline.batch.lists import trial_places
from pipeline.explore.explanation import Row
from pipeline.explore.generation_inputs import ExplainError, GenerationInputs, within_bounds
from pipeline.explore.viewer_inputs import ViewerInputs
from pipeline.explore.viewer_run import score_likes
from pipeline.ranking import Ranking, ranking_from
from pipeline.store.duck import count
from pipeline.store.model import DAY_US, HOUR_US

POSTS_SHOWN = 30
REASONS_SHOWN = 3
RECENT_HOURS = (1, 2, 3, 6, 12, 24, 48)  # "in the last … hours", in words of people
SEEDS_SHOWN = 3
# Parameters that change a list without new neighbours.
CHANGEABLE = (
    "half_life_hours",
    "like_decay_hours",
    "crowd_weight",
    "left_out_weight",
    "popularity_exponent",
    "score_exponent",
    "max_per_author",
    "author_spacing",
    "max_neighbours",
    "media",
)
# A change that is no parameter: only posts that name this language, "" for all.
LANGUAGE = "language"
# Nor is this: the list as it was first made so many days ago, without reasons and whatever else is changed.
DAYS_AGO = "days_ago"
NO_PARAMETERS = (LANGUAGE, DAYS_AGO)
Change = float | str
# What a post has from its terms.
TERMS = (
    "author_id", "rkey", "post_uri", "score", "similarity", "crowd", "co_likers", "likers", "age_hours",
    "expected",
)  # fmt: skip


def changes_of(texts: Sequence[str]) -> dict[str, Change]:
    """Return the changes that NAME=VALUE texts ask for; ExplainError for any other text."""
    changes: dict[str, Change] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in (*CHANGEABLE, *NO_PARAMETERS):
            names = ", ".join((*CHANGEABLE, *NO_PARAMETERS))
            raise ExplainError(f"--set {text}: expected NAME=VALUE, with NAME one of {names}")
        if name == LANGUAGE:
            if not re.fullmatch("[a-z]{2,3}|", value):
                raise ExplainError(f"--set {text}: expected a language of two or three letters, such as en")
            changes[name] = value
            continue
        if name == DAYS_AGO:
            if not re.fullmatch("[0-7]|", value):
                raise ExplainError(f"--set {text}: expected 0 to 7, for that is how long lists are kept")
            changes[name] = value
            continue
        try:
            changes[name] = float(value)
        except ValueError as error:
            raise ExplainError(f"--set {text}: {value!r} is not a number") from error
    return changes


def changed(ranking: Ranking, changes: Mapping[str, Change]) -> Ranking:
    """Return parameters with some changed; SettingError when one is out of bounds."""
    whole = {item.name for item in fields(Ranking) if item.type is int}
    values = {
        name: int(value) if name in whole else value
        for name, value in changes.items()
        if name not in NO_PARAMETERS
    }
    return ranking_from({**asdict(ranking), **values})


def why(
    data_dir: Path, threads: int, viewer: str, changes: Mapping[str, Change], *, public: bool, feed: str = ""
) -> Row:
    """Return a viewer's list in a feed with reasons, as plain values; "" is the first feed."""
    with closing(ViewerInputs(data_dir, threads, viewer, public=public, feed=feed)) as of_viewer:
        return why_of(of_viewer, changes)


@within_bounds()
def why_of(of_viewer: ViewerInputs, changes: Mapping[str, Change]) -> Row:
    """Return a list of open inputs, which may be asked for one recipe after another."""
    inputs, usual = of_viewer.inputs, of_viewer.ranking
    if changes.get(DAYS_AGO):
        return _former_list(of_viewer, str(changes[DAYS_AGO]))
    ranking = changed(usual, changes)
    of_viewer.read()
    inputs.ranking = ranking
    sql_steps.prepare(inputs.connection, inputs.ranking, inputs.snapshot_us)
    inputs.use_neighbours(inputs.ranking.max_neighbours)
    language = str(changes.get(LANGUAGE, ""))
    inputs.use_language(language)
    score_likes(inputs)
    places = {item["post_uri"]: item["position"] for item in of_viewer.listed}
    # What fills a short list is stored as it is, whatever its posts have.
    filling = [] if language or inputs.ranking.media != usual.media else of_viewer.listed
    posts = _list(inputs, of_viewer.viewer_id, filling)
    length, posts = len(posts), posts[:POSTS_SHOWN]
    _add_reasons(inputs, posts, of_viewer.shared)
    for post in posts:
        # In public, the list as it is served would show what the viewer has seen.
        post["was"] = None if of_viewer.public else places.get(post["post_uri"])
    return {
        "viewer": of_viewer.did,
        "generation": inputs.generation,
        "snapshot_us": inputs.snapshot_us,
        "variant": inputs.variant,
        "neighbours": count(inputs.connection, "neighbours"),
        "length": length,
        "public": of_viewer.public,
        "parameters": _values(inputs.ranking) | {LANGUAGE: language},
        "usual": _values(usual),
        "posts": posts,
    }


def _values(ranking: Ranking) -> Row:
    """Return what can be changed, as the parameters in force have it."""
    return {name: getattr(ranking, name) for name in CHANGEABLE} | dict.fromkeys(NO_PARAMETERS, "")


def _former_list(of_viewer: ViewerInputs, days_ago: str) -> Row:
    """Return the beginning of a list as it was first made on a day, in the form of ``why_of``."""
    if of_viewer.public:
        raise ExplainError(
            "a list as it was served shows what its viewer had seen: only this machine may see it"
        )
    inputs = of_viewer.inputs
    inputs.use_lists_of(int(days_ago))
    inputs.connection.execute("SET VARIABLE viewer_id = ?", [of_viewer.viewer_id])
    posts = inputs.rows("listed")
    made = "SELECT max(generation) FROM stored_lists WHERE viewer_id = getvariable('viewer_id')"
    [(generation,)] = inputs.connection.execute(made).fetchall()
    reasons: Row = {
        "because": [],
        "recently": None,
        "crowd_share": 1.0,
        "rule": None,
        "was": None,
        "expected": None,
    }
    return {
        "viewer": of_viewer.did,
        "generation": generation or 0,
        "snapshot_us": inputs.snapshot_us - int(days_ago) * DAY_US,
        "variant": inputs.variant,
        "neighbours": 0,
        "length": len(posts),
        "public": False,
        "parameters": _values(of_viewer.ranking) | {DAYS_AGO: days_ago},
        "usual": _values(of_viewer.ranking),
        "posts": [post | reasons for post in posts[:POSTS_SHOWN]],
    }


def _list(inputs: GenerationInputs, viewer_id: int, listed: Sequence[Row]) -> list[Row]:
    """Return the viewer's list under the parameters in force, best first."""
    ranked = sorted((row for row in inputs.rows("terms") if row["position"]), key=lambda row: row["position"])
    posts = [
        {name: row[name] for name in TERMS} | {"source": "co-likers" if row["co_likers"] else "popular"}
        for row in ranked
    ]
    if not any(row["co_likers"] for row in posts):
        return []  # the crowd alone makes no list
    uris = {row["post_uri"] for row in posts}
    popular = [row for row in listed if row["source"] == "popular" and row["post_uri"] not in uris]
    posts += popular[: inputs.ranking.list_length - len(posts)]
    query = (
        "SELECT p.author_id, p.rkey FROM feedback AS f JOIN candidate_posts AS p ON p.post_no = f.post_no "
        "WHERE f.event = 'interactionSeen' AND f.viewer_id = getvariable('viewer_id')"
    )
    seen = set(inputs.connection.execute(query).fetchall())
    hour, most_likers = inputs.snapshot_us // HOUR_US, inputs.ranking.trial_max_likers
    ranks = {row["post_uri"]: rank for rank, row in enumerate(posts)}
    turns = {
        row["post_uri"]: trial_places.turn(viewer_id, hour, row["rkey"], row["score"])
        for row in posts
        if row["source"] == "co-likers" and row["likers"] <= most_likers and _key(row) not in seen
    }

    def draw(place: int, fitting: Sequence[Row]) -> Row | None:
        if not trial_places.is_place(place, inputs.ranking.trial_share):
            return None
        behind = (row for row in fitting if ranks[row["post_uri"]] >= place + trial_places.AHEAD)
        tried = [row for row in behind if row["post_uri"] in turns]
        return min(tried, key=lambda row: turns[row["post_uri"]], default=None)

    posts.sort(key=lambda row: _key(row) in seen)
    placed = spaced(posts, inputs.ranking.author_spacing, draw)
    return with_rules(posts, placed, {row["post_uri"] for row in posts if _key(row) in seen})


def with_rules(posts: Sequence[Row], placed: Sequence[Row], seen: Set[str]) -> list[Row]:
    """Return placed posts, each with the rule after the ranking that moved it: trial, seen, spaced, or None."""
    order = {row["post_uri"]: number for number, row in enumerate(posts)}
    furthest, found = -1, []
    for row in placed:
        number, rule = order[row["post_uri"]], None
        if row["source"] == "trial":
            rule = "trial"
        elif row["post_uri"] in seen:
            rule = "seen"
        elif number < furthest:
            rule = "spaced"
        if rule != "trial":
            furthest = max(furthest, number)
        found.append(row | {"rule": rule})
    return found


def _key(row: Row) -> tuple[int, int]:
    return row["author_id"], row["rkey"]


def spaced(
    posts: Sequence[Row],
    spacing: int,
    draw: Callable[[int, Sequence[Row]], Row | None] = lambda _place, _fitting: None,
) -> list[Row]:
    """Return posts so that ``spacing`` places lie between two of one author; those that never fit are left out.

    ``draw`` gets a place, from 0, and the posts that fit there; it returns one to try there, or None for the first.
    """
    waiting, placed = list(posts), list[Row]()
    while waiting:
        near = {post["author_id"] for post in placed[-spacing:]} if spacing else set()
        fitting = [post for post in waiting if post["author_id"] not in near]
        if not fitting:
            break
        tried = draw(len(placed), fitting)
        post = fitting[0] if tried is None else tried
        waiting = [other for other in waiting if other is not post]
        placed.append(post if tried is None else post | {"source": "trial"})
    return placed


def recently(ages: Sequence[float]) -> Row | None:
    """Return the shortest time within which at least half of the likes were made, and how many were."""
    for hours in RECENT_HOURS:
        people = sum(age <= hours for age in ages)
        if people * 2 >= len(ages) > 0:
            return {"hours": hours, "people": people, "of": len(ages)}
    return None


def _add_reasons(inputs: GenerationInputs, posts: Sequence[Row], shared: Sequence[Row]) -> None:
    """Add to each post the neighbours who count most, with the likes they share with the viewer."""
    execute = inputs.connection.execute
    execute("CREATE OR REPLACE TABLE shown_posts (post_no INTEGER, author_id INTEGER, rkey BIGINT)")
    query = "SELECT post_no, author_id, rkey FROM candidate_posts WHERE author_id = ? AND rkey = ?"
    for post in posts:
        execute(f"INSERT INTO shown_posts {query}", _key(post))
    execute("SET VARIABLE reasons_shown = ?", [REASONS_SHOWN])
    keys = {post_no: key for post_no, *key in execute("FROM shown_posts").fetchall()}
    seeds: dict[str, list[Row]] = {}
    for row in shared:
        if row["value"] > 0:
            seeds.setdefault(row["neighbour_did"], []).append(row)
    reasons: dict[tuple[int, int], list[Row]] = {}
    ages: dict[tuple[int, int], list[float]] = {}
    for row in inputs.rows("reasons"):
        mine = seeds.get(row["neighbour_did"], [])
        key = tuple(keys[row["post_no"]])
        ages[key] = row["all_ages"]
        reasons.setdefault(key, []).append(
            {
                "did": row["neighbour_did"],
                "share": row["share"],
                "like_age_hours": row["like_age_hours"],
                "shared": len(mine),
                "picked": sum(seed["picked"] for seed in mine),
                "posts": [seed["post_uri"] for seed in mine[:SEEDS_SHOWN]],
            }
        )
    for post in posts:
        post["because"] = reasons.get(_key(post), []) if post["source"] != "popular" else []
        post["recently"] = recently(ages.get(_key(post), [])) if post["because"] else None
        post["crowd_share"] = post["crowd"] / post["similarity"] if post["because"] else 1.0
        for reason in post["because"]:
            reason["share"] *= 1 - post["crowd_share"]
