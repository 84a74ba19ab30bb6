"""``foryou explain VIEWER --why``: a whole list, who brought each post there, and what other parameters make of it.

Owns: the list under changed parameters, and the reasons of its first posts. Leaves to others: the inputs
(``inputs``), the ranking itself (``sql/batch``), showing it (the web app's page /why reads the JSON).

The list is worked out again by the ranking's own SQL; the rules after it (seen posts last, places between posts of
one author) are applied here in plain Python, since the web app's sandbox allows no compiled code to be made. A test
holds the result against the lists of the batch. Of what is popular, the posts in the viewer's list fill it up.

``public`` leaves out all that only this installation knows of a viewer: what they were shown, have seen and asked to
see less of. What is left follows from likes, which everybody can read on the network.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pipeline.batch import definition
from pipeline.explore.explain import score_candidates, weigh_neighbours
from pipeline.explore.inputs import ExplainError, Inputs
from pipeline.ranking import Ranking, ranking_from

POSTS_SHOWN = 30
REASONS_SHOWN = 3
SEEDS_SHOWN = 3
MEMORY_LIMIT = "700MB"  # it runs beside the web app
# Parameters whose change shows without new neighbours.
CHANGEABLE = (
    "half_life_hours",
    "like_decay_hours",
    "crowd_weight",
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
    execute = inputs.connection.execute
    viewer_id, did = inputs.find_viewer(viewer)
    inputs.choose_arm(did)
    usual = inputs.ranking
    inputs.ranking = changed(usual, changes)
    definition.prepare(inputs.connection, inputs.ranking, inputs.snapshot_us)
    inputs.restrict(viewer_id, did, None)
    if public:
        find_public_neighbours(inputs)
    weigh_neighbours(inputs)
    shared = inputs.rows("shared_seeds")
    execute("DELETE FROM neighbours WHERE rank > ?", [inputs.ranking.max_neighbours])
    score_candidates(inputs)
    listed = inputs.rows("listed")
    posts = _list(inputs, listed)
    positions = {item["post_uri"]: item["position"] for item in listed}
    _add_reasons(inputs, posts[:POSTS_SHOWN], shared)
    return {
        "viewer": did,
        "generation": inputs.generation,
        "snapshot_us": inputs.snapshot_us,
        "variant": inputs.variant,
        "neighbours": definition.count(inputs.connection, "neighbours"),
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


def find_public_neighbours(inputs: Inputs) -> None:
    """Make the viewer's inputs those that they would be if nothing but likes were known of the viewer."""
    execute = inputs.connection.execute
    for name in ("interactions", "neighbours_interactions", "visits"):
        execute(f"DELETE FROM my_{name}")
    inputs.run("public_people")
    inputs.run("own_records")
    inputs.look("own_records", inputs.neighbours_us, inputs.ranking.seed_window_days * 24.0)
    for name in definition.BEFORE_NEIGHBOURS + definition.NEIGHBOURS:
        definition.run_file(inputs.connection, name)
        if name == "viewers":
            execute(
                "CREATE OR REPLACE TABLE viewers AS SELECT getvariable('viewer_id')::INTEGER AS viewer_id"
            )
    execute("CREATE OR REPLACE TABLE viewer_neighbours AS FROM neighbours")
    inputs.gather()


def _list(inputs: Inputs, listed: Sequence[Row]) -> list[Row]:
    """Return the viewer's list under the parameters in force, best first."""
    terms = {(row["author_id"], row["rkey"]): row for row in inputs.rows("terms")}
    ranked = sorted((row for row in terms.values() if row["position"]), key=lambda row: row["position"])
    mine = [
        {
            name: row[name]
            for name in ("author_id", "rkey", "post_uri", "score", "similarity", "co_likers", "likers", "age_hours")
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
    return spaced(in_turn, inputs.ranking.author_spacing)


def spaced(posts: Sequence[Row], spacing: int) -> list[Row]:
    """Return posts so that ``spacing`` places lie between two of one author; those that never fit are left out."""
    waiting = list(posts)
    placed: list[Row] = []
    while waiting:
        near = {post["author_id"] for post in placed[max(0, len(placed) - spacing) :]} if spacing else set()
        fitting = next((place for place, post in enumerate(waiting) if post["author_id"] not in near), None)
        if fitting is None:
            break
        placed.append(waiting.pop(fitting))
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
        post["because"] = reasons.get(number, []) if post["source"] == "co-likers" else []


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
            lines.append("      popular now")
        for reason in post.get("because", []):
            lines.append(
                f"      {reason['share']:5.0%}  {reason['did']}, {reason['like_age_hours']:.1f} h ago; "
                f"{reason['shared']} shared likes, such as {', '.join(reason['posts'][:1])}"
            )
    return "\n".join(lines)
