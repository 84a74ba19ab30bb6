"""``foryou explain VIEWER --why``: a whole list, who brought each post there, and what other parameters make of
it.

Owns: the list under changed parameters, and the reasons of its first posts. Leaves to others: the inputs
(``generation_inputs``), the ranking itself (``sql/batch``), showing it (the web app's page /why reads the
JSON).

The list is worked out again by the ranking's own SQL; the rules after it (seen posts last, places between
posts of one author) are applied here in plain Python, since the web app's sandbox allows no compiled code to
be made. A test holds the result against the lists of the batch. Of what is popular, the posts in the viewer's
list fill it up.

``public`` leaves out all that only this installation knows of a viewer: what they were shown, have seen and
asked to see less of. What is left follows from likes, which everybody can read on the network.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.batch.inputs import sql_steps
from pipeline.batch.lists import trial_places
from pipeline.explore.generation_inputs import ExplainError, Inputs
from pipeline.explore.viewer_run import run_for_viewer, score_candidates, weigh_neighbours
from pipeline.ranking import Ranking, ranking_from
from pipeline.store.duck import count
from pipeline.store.model import HOUR_US

POSTS_SHOWN = 30
REASONS_SHOWN = 3
SEEDS_SHOWN = 3
LEAST_SHOWN = 0.005  # of a post's similarity
MEMORY_LIMIT = "700MB"  # it runs beside the web app
# Parameters whose change shows without new neighbours.
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
)

Row = dict[str, Any]


def changes_of(texts: Sequence[str]) -> dict[str, float]:
    """Return the changes that NAME=VALUE texts ask for; ExplainError for any other."""
    changes = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in CHANGEABLE:
            raise ExplainError(f"--set {text}: give NAME=VALUE, NAME one of {', '.join(CHANGEABLE)}")
        try:
            changes[name] = float(value)
        except ValueError as error:
            raise ExplainError(f"--set {text}: {value!r} is no number") from error
    return changes


def changed(ranking: Ranking, changes: Mapping[str, float]) -> Ranking:
    """Return parameters with some changed; SettingError when one is out of bounds."""
    whole = {item.name for item in fields(Ranking) if item.type is int}
    values = {name: int(value) if name in whole else value for name, value in changes.items()}
    return ranking_from({**asdict(ranking), **values})


def why(data_dir: Path, threads: int, viewer: str, changes: Mapping[str, float], *, public: bool) -> Row:
    """Return a viewer's list with reasons, as plain values."""
    inputs = Inputs(data_dir, threads)
    with tempfile.TemporaryDirectory(prefix="foryou-why-") as spill:
        try:
            inputs.connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
            inputs.connection.execute("SET temp_directory = $folder", {"folder": spill})
            return _why(inputs, viewer, changes, public)
        finally:
            inputs.close()


def _why(inputs: Inputs, viewer: str, changes: Mapping[str, float], public: bool) -> Row:
    viewer_id, did = inputs.find_viewer(viewer)
    inputs.choose_variant(did)
    usual = inputs.ranking
    inputs.ranking = changed(usual, changes)
    sql_steps.prepare(inputs.connection, inputs.ranking, inputs.snapshot_us)
    inputs.restrict(viewer_id, did, None)
    if public:
        find_public_neighbours(inputs)
    inputs.gather()
    weigh_neighbours(inputs)
    shared = inputs.rows("shared_seeds")
    if inputs.ranking.max_neighbours < usual.max_neighbours:
        leave_out(inputs, inputs.ranking.max_neighbours)
    score_candidates(inputs)
    listed = inputs.rows("listed")
    posts = _list(inputs, viewer_id, listed)
    positions = {item["post_uri"]: item["position"] for item in listed}
    _add_reasons(inputs, posts[:POSTS_SHOWN], shared)
    return {
        "viewer": did,
        "generation": inputs.generation,
        "snapshot_us": inputs.snapshot_us,
        "variant": inputs.variant,
        "neighbours": count(inputs.connection, "neighbours"),
        "length": len(posts),
        "public": public,
        "parameters": {name: getattr(inputs.ranking, name) for name in CHANGEABLE},
        "usual": {name: getattr(usual, name) for name in CHANGEABLE},
        # In public, the list as it is served would tell what the viewer has seen.
        "posts": [
            post | {"was": None if public else positions.get(post["post_uri"])}
            for post in posts[:POSTS_SHOWN]
        ],
    }


def leave_out(inputs: Inputs, most: int) -> None:
    """Leave the viewer so many neighbours, and what the others weigh to the crowd."""
    others = "SELECT coalesce(sum(weight::DOUBLE), 0) FROM neighbours WHERE rank > $most"
    inputs.connection.execute(f"UPDATE neighbours SET left_out = left_out + ({others})", {"most": most})
    inputs.connection.execute("DELETE FROM neighbours WHERE rank > $most", {"most": most})


def find_public_neighbours(inputs: Inputs) -> None:
    """Make the viewer's inputs those that they would be if nothing but likes were known of the viewer."""
    execute = inputs.connection.execute
    for name in ("interactions", "neighbours_interactions", "visits"):
        execute(f"DELETE FROM my_{name}")
    window_hours = inputs.ranking.seed_window_days * 24.0
    execute("DELETE FROM viewer_neighbours")
    for name in ("people", "own_records", "answered_posts", "seed_records"):
        inputs.run(name)
    inputs.look("seed_records", inputs.neighbours_us, window_hours)
    run_for_viewer(inputs, sql_steps.SEEDS)
    # What a co-liker counts follows from all their likes: of those who are looked at alone, who are few beside all
    # who liked one of the seeds.
    inputs.run("public_people")
    inputs.run("own_records")
    inputs.look("own_records", inputs.neighbours_us, window_hours)
    run_for_viewer(inputs, (*sql_steps.LIKES, "co_likers", *sql_steps.NEIGHBOURS))
    execute("CREATE OR REPLACE TABLE viewer_neighbours AS FROM neighbours")


def _list(inputs: Inputs, viewer_id: int, listed: Sequence[Row]) -> list[Row]:
    """Return the viewer's list under the parameters in force, best first."""
    terms = {(row["author_id"], row["rkey"]): row for row in inputs.rows("terms")}
    ranked = sorted((row for row in terms.values() if row["position"]), key=lambda row: row["position"])
    mine = [
        {
            name: row[name]
            for name in ("author_id", "rkey", "post_uri", "score", "similarity", "crowd", "co_likers", "likers",
                         "age_hours")
        }
        | {"source": "co-likers" if row["co_likers"] else "popular"}
        for row in ranked
    ]  # fmt: skip
    if not any(row["co_likers"] for row in mine):
        mine = []  # the crowd's alone
    if mine:
        names = {row["post_uri"] for row in mine}
        popular = [row for row in listed if row["source"] == "popular" and row["post_uri"] not in names]
        mine += [dict(row) for row in popular[: inputs.ranking.list_length - len(mine)]]
    query = (
        "SELECT p.author_id, p.rkey FROM feedback AS f JOIN candidate_posts AS p ON p.post_no = f.post_no "
        "WHERE f.event = 'interactionSeen' AND f.viewer_id = getvariable('viewer_id')"
    )
    seen = set(inputs.connection.execute(query).fetchall())
    in_turn = sorted(mine, key=lambda row: (row["author_id"], row["rkey"]) in seen)
    tried = {
        (row["author_id"], row["rkey"]): trial_places.turn(
            viewer_id, inputs.snapshot_us // HOUR_US, row["rkey"], row["score"]
        )
        for row in mine[trial_places.AHEAD :]
        if row["source"] == "co-likers"
        and row["likers"] <= inputs.ranking.trial_max_likers
        and (row["author_id"], row["rkey"]) not in seen
    }
    ranks = {(row["author_id"], row["rkey"]): rank for rank, row in enumerate(mine)}
    return spaced(in_turn, inputs.ranking.author_spacing, inputs.ranking.trial_share, tried, ranks)


def spaced(
    posts: Sequence[Row],
    spacing: int,
    share: float = 0.0,
    turns: Mapping[tuple[int, int], float] = MappingProxyType({}),
    ranks: Mapping[tuple[int, int], int] = MappingProxyType({}),
) -> list[Row]:
    """Return posts so that ``spacing`` places lie between two of one author; those that never fit are left out.

    ``share`` of the places try a post of ``turns``, the smallest first, of those whose rank is AHEAD further back.
    """
    waiting = list(posts)
    placed: list[Row] = []
    while waiting:
        near = {post["author_id"] for post in placed[max(0, len(placed) - spacing) :]} if spacing else set()
        fitting = [place for place, post in enumerate(waiting) if post["author_id"] not in near]
        if not fitting:
            break
        tried = None
        if trial_places.is_place(len(placed), share):
            drawn = [
                (turns[key], place)
                for place in fitting
                if (key := (waiting[place]["author_id"], waiting[place]["rkey"])) in turns
                and ranks[key] >= len(placed) + trial_places.AHEAD
            ]
            tried = min(drawn)[1] if drawn else None
        post = waiting.pop(fitting[0] if tried is None else tried)
        placed.append(post if tried is None else post | {"source": "trial"})
    return placed


def _add_reasons(inputs: Inputs, posts: Sequence[Row], shared: Sequence[Row]) -> None:
    """Add to each post the neighbours who count most, with the likes they share with the viewer."""
    execute = inputs.connection.execute
    execute("CREATE OR REPLACE TABLE shown_posts (post_no INTEGER, author_id INTEGER, rkey BIGINT)")
    for post in posts:
        execute(
            "INSERT INTO shown_posts SELECT post_no, author_id, rkey FROM candidate_posts "
            "WHERE author_id = ? AND rkey = ?",
            [post["author_id"], post["rkey"]],
        )
    execute("SET VARIABLE reasons_shown = ?", [REASONS_SHOWN])
    numbers = {
        (author_id, rkey): post_no
        for post_no, author_id, rkey in execute("FROM shown_posts").fetchall()
    }  # fmt: skip
    seeds: dict[str, list[str]] = {}
    for row in shared:
        if row["value"] > 0:
            seeds.setdefault(row["neighbour_did"], []).append(row["post_uri"])
    reasons: dict[int, list[Row]] = {}
    for row in inputs.rows("reasons"):
        likes = seeds.get(row["neighbour_did"], [])
        reasons.setdefault(row["post_no"], []).append(
            {
                "did": row["neighbour_did"],
                "share": row["share"],
                "like_age_hours": row["like_age_hours"],
                "shared": len(likes),
                "posts": likes[:SEEDS_SHOWN],
            }
        )
    for post in posts:
        number = numbers.get((post["author_id"], post["rkey"]), -1)
        post["because"] = reasons.get(number, []) if post["source"] != "popular" else []
        post["crowd_share"] = post["crowd"] / post["similarity"] if post["because"] else 1.0
        for reason in post["because"]:
            reason["share"] *= 1 - post["crowd_share"]


def as_text(found: Row) -> str:
    """Return the list in words, for a person at a terminal."""
    lines = [
        f"viewer      {found['viewer']}",
        f"generation  {found['generation']}; {found['length']} posts, {found['neighbours']} neighbours",
    ]
    if found["variant"]:
        lines.append(f"variant     {found['variant']}")
    for name, value in found["parameters"].items():
        if value != found["usual"][name]:
            lines.append(f"changed     {name} = {value:g} instead of {found['usual'][name]:g}")
    for place, post in enumerate(found["posts"], 1):
        was = "" if found["public"] or post["was"] == place else f"  (served at {post['was'] or 'no place'})"
        lines += ["", f"{place:>4}  {post['post_uri']}{was}"]
        if post["source"] != "co-likers":
            lines.append(
                "      popular now" if post["source"] == "popular" else "      to be tried: few have seen it"
            )
        for reason in post.get("because", []):
            lines.append(
                f"      {reason['share']:5.0%}  {reason['did']}, {reason['like_age_hours']:.1f} h ago; "
                f"{reason['shared']} shared likes, such as {', '.join(reason['posts'][:1])}"
            )
        if post.get("because") and post["crowd_share"] >= LEAST_SHOWN:
            lines.append(f"      {post['crowd_share']:5.0%}  what is popular now")
    return "\n".join(lines)
