"""The ranking's own SQL, run again for one viewer on the inputs of a generation.

Owns: which files of ``sql/batch`` run, and what replaces those that need everybody's likes. Leaves to others: opening
the inputs (``generation_inputs``), what the numbers mean (``explain_command``, ``list_reasons``).
"""

from collections.abc import Sequence

from pipeline.batch.inputs import sql_steps
from pipeline.explore.generation_inputs import GenerationInputs


def score_candidates(inputs: GenerationInputs) -> None:
    """Make ``candidates`` and ``ranked`` of the viewer, as the candidates job does."""
    inputs.use_records("candidate_records", inputs.snapshot_us, inputs.ranking.post_max_age_hours)
    for name in sql_steps.LIKES:
        sql_steps.run_file(inputs.connection, name)
    score_likes(inputs)


def score_likes(inputs: GenerationInputs) -> None:
    """Make ``candidates`` and ``ranked`` of the viewer, of ``likes`` that are there already."""
    for name in sql_steps.LISTS + sql_steps.CANDIDATES:
        if name == "crowds":
            inputs.run("crowds")  # as the batch left it, for it is made of everybody's likes, as popular is
        elif name not in sql_steps.OF_EVERYBODY:
            sql_steps.run_file(inputs.connection, name)


def weigh_neighbours(inputs: GenerationInputs) -> None:
    """Make ``seeds`` to ``co_likers`` of the viewer and the neighbours they have, as the neighbours job does."""
    execute = inputs.connection.execute
    inputs.use_records("seed_records", inputs.neighbours_us, inputs.ranking.seed_window_days * 24.0)
    inputs.use_interactions("neighbours_interactions")
    run_for_viewer(inputs, sql_steps.SEEDS)
    # Not every like of others is at hand, so their weights are unknown.
    execute("DELETE FROM seed_likers WHERE liker_id NOT IN (SELECT neighbour_id FROM viewer_neighbours)")
    run_for_viewer(inputs, ["co_likers"])


def run_for_viewer(inputs: GenerationInputs, names: Sequence[str]) -> None:
    """Run files of ``sql/batch`` for the viewer alone."""
    for name in names:
        if name == "viewers":
            query = "CREATE OR REPLACE TABLE viewers AS SELECT getvariable('viewer_id')::INTEGER AS viewer_id"
            inputs.connection.execute(query)
        else:
            sql_steps.run_file(inputs.connection, name)


def popular_score(inputs: GenerationInputs) -> float | None:
    """Return the score of the post asked about as a popular post, None when nobody liked it lately."""
    inputs.run("likers_records")
    inputs.use_records("likers_records", inputs.snapshot_us, inputs.ranking.post_max_age_hours)
    for name in (*sql_steps.LIKES, "candidate_posts", "fresh_likes", "crowd_likers"):
        sql_steps.run_file(inputs.connection, name)
    everything: dict[str, float] = {"list_length": 2**31 - 1, "fallback_max_per_author": 2**31 - 1}
    sql_steps.set_variables(inputs.connection, everything)
    sql_steps.run_file(inputs.connection, "popular")
    sql_steps.set_variables(inputs.connection, {name: getattr(inputs.ranking, name) for name in everything})
    query = (
        "SELECT s.score FROM popular AS s JOIN candidate_posts AS p ON p.post_no = s.post_no "
        "JOIN explained_post AS q ON q.author_id = p.author_id AND q.rkey = p.rkey WHERE s.language = ''"
    )
    row = inputs.connection.execute(query).fetchone()
    return None if row is None else float(row[0])
