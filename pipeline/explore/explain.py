"""``foryou explain``: why a post is in a viewer's list, or is not, by the ranking's own SQL.

Owns: running ``sql/batch`` for one viewer and collecting its numbers. Leaves to others: opening the inputs
(``inputs``), which rule decided (``verdict``), words for people (``explain_text``).

Invariant: scores, weights and places come from the files that define the ranking, run on every row that can
matter to this viewer, so they change when the ranking does. Nothing is written.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.batch import definition
from pipeline.explore.explain_text import as_text
from pipeline.explore.inputs import Inputs
from pipeline.explore.verdict import verdict
from pipeline.settings import Settings

Row = dict[str, Any]


@dataclass(slots=True)
class Explanation:
    """What is known of a viewer's list, and of one post in it; rows as ``sql/explain`` returns them.

    ``variant``: EXPERIMENT/VARIANT whose parameters made the list, nothing outside an experiment.
    ``scored``: posts with a score, before the rules; ``listed``: the list itself; ``shared``: seeds shared
    with each neighbour. ``facts``, ``contributors``, ``popular_score`` and ``verdict`` are of the post.
    """

    viewer: str
    generation: int
    snapshot_us: int
    neighbours_us: int
    parameters: dict[str, float]
    variant: str = ""
    neighbours: int = 0
    listed: list[Row] = field(default_factory=list)
    scored: list[Row] = field(default_factory=list)
    shared: list[Row] = field(default_factory=list)
    post: str | None = None
    facts: Row | None = None
    contributors: list[Row] = field(default_factory=list)
    popular_score: float | None = None
    verdict: list[str] = field(default_factory=list)


def run(settings: Settings, viewer: str, post: str | None, *, as_json: bool) -> None:
    """Print the explanation; ExplainError when viewer or post are not known."""
    explanation = explain(settings.data_dir, settings.batch_threads, viewer, post)
    print(json.dumps(as_dict(explanation), indent=2) if as_json else as_text(explanation))


def run_why(settings: Settings, viewer: str, texts: Sequence[str], *, public: bool, as_json: bool) -> None:
    """Print a list with reasons, under the changes that NAME=VALUE texts ask for; ExplainError as ``run``."""
    from pipeline.explore import why  # it builds on this module

    found = why.why(settings.data_dir, settings.batch_threads, viewer, why.changes_of(texts), public=public)
    print(json.dumps(found) if as_json else why.as_text(found))


def explain(data_dir: Path, threads: int, viewer: str, post: str | None = None) -> Explanation:
    """Return why a viewer's list is as it is, and what happened to a post."""
    inputs = Inputs(data_dir, threads)
    try:
        return explain_from(inputs, viewer, post)
    finally:
        inputs.close()


def explain_from(inputs: Inputs, viewer: str, post: str | None = None) -> Explanation:
    """Do the same from inputs that are open already, which many viewers may share in turn."""
    viewer_id, did = inputs.find_viewer(viewer)
    inputs.choose_arm(did)
    asked = None if post is None else inputs.find_post(post)
    inputs.restrict(viewer_id, did, asked)
    inputs.gather()
    ranking = inputs.ranking
    result = Explanation(
        did,
        inputs.generation,
        inputs.snapshot_us,
        inputs.neighbours_us,
        {name: getattr(ranking, name) for name in ranking.__dataclass_fields__},
    )
    result.variant = inputs.variant
    result.neighbours = definition.count(inputs.connection, "viewer_neighbours")
    score_candidates(inputs)
    result.listed, result.scored = inputs.rows("listed"), inputs.rows("terms")
    if asked is not None:
        result.facts = inputs.rows("post_facts")[0]
        result.contributors = inputs.rows("contributors")
        uri = "SELECT post_uri(did, ?) FROM actors WHERE actor_id = ?"
        found = inputs.connection.execute(uri, [asked[1], asked[0]]).fetchone()
        result.post = found[0] if found else None
    weigh_neighbours(inputs)
    result.shared = inputs.rows("shared_seeds")
    scored = {row["post_uri"] for row in result.scored if row["position"] is not None}
    if any(
        item["source"] == "popular" and item["post_uri"] == result.post and result.post not in scored
        for item in result.listed
    ):
        result.popular_score = popular_score(inputs)
    if asked is not None:
        result.verdict = verdict(result)
    return result


def score_candidates(inputs: Inputs) -> None:
    """Make ``candidates`` and ``ranked`` of the viewer, as the candidates job does."""
    inputs.look("candidate_records", inputs.snapshot_us, inputs.ranking.post_max_age_hours)
    for name in definition.BEFORE_CANDIDATES + definition.CANDIDATES:
        if name == "crowds":
            inputs.run("crowds")  # as the run left it: like popular, it is made of everybody's likes
        elif name not in {"popular", "crowd_likers", "crowd_shares"}:
            definition.run_file(inputs.connection, name)


def weigh_neighbours(inputs: Inputs) -> None:
    """Make ``seeds`` to ``co_likers`` of the viewer and the neighbours they have, as the neighbours job does."""
    execute = inputs.connection.execute
    inputs.look("seed_records", inputs.neighbours_us, inputs.ranking.seed_window_days * 24.0)
    inputs.answer("neighbours_interactions")
    run_for_viewer(inputs, definition.SEEDS)
    # Of others not every like is at hand, so their weights can't be told.
    execute("DELETE FROM seed_likers WHERE liker_id NOT IN (SELECT neighbour_id FROM viewer_neighbours)")
    run_for_viewer(inputs, ["co_likers"])


def run_for_viewer(inputs: Inputs, names: Sequence[str]) -> None:
    """Run files of ``sql/batch`` for the viewer alone."""
    for name in names:
        if name == "viewers":
            query = "CREATE OR REPLACE TABLE viewers AS SELECT getvariable('viewer_id')::INTEGER AS viewer_id"
            inputs.connection.execute(query)
        else:
            definition.run_file(inputs.connection, name)


def popular_score(inputs: Inputs) -> float | None:
    """Return the score that makes the post asked about popular, None when nobody liked it lately."""
    inputs.run("likers_records")
    inputs.look("likers_records", inputs.snapshot_us, inputs.ranking.post_max_age_hours)
    for name in (*definition.LIKES, "candidate_posts", "fresh_likes", "crowd_likers"):
        definition.run_file(inputs.connection, name)
    everything: dict[str, float] = {"list_length": 2**31 - 1, "max_per_author": 2**31 - 1}
    definition.set_variables(inputs.connection, everything)
    definition.run_file(inputs.connection, "popular")
    definition.set_variables(inputs.connection, {name: getattr(inputs.ranking, name) for name in everything})
    query = (
        "SELECT s.score FROM popular AS s JOIN candidate_posts AS p ON p.post_no = s.post_no "
        "JOIN asked_post AS q ON q.author_id = p.author_id AND q.rkey = p.rkey WHERE s.language = ''"
    )
    row = inputs.connection.execute(query).fetchone()
    return None if row is None else float(row[0])


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values, for JSON."""
    return {name: getattr(explanation, name) for name in explanation.__dataclass_fields__}
