"""``foryou explain``: why a post is in a viewer's list, or is not, by the ranking's own SQL.

Owns: the command, and collecting the numbers of one viewer. Leaves to others: opening the inputs
(``generation_inputs``), running ``sql/batch`` on them (``viewer_run``), which rule decided (``verdict``), words for
people (``explain_text``).

Invariant: scores, weights and places come from the files that define the ranking, run on every row that can matter to
this viewer. So they change when the ranking does. Nothing is written.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from pipeline.explore import list_reasons
from pipeline.explore.explain_text import as_text, list_as_text
from pipeline.explore.explanation import Explanation
from pipeline.explore.generation_inputs import PICKS, GenerationInputs, within_bounds
from pipeline.explore.verdict import verdict
from pipeline.explore.viewer_run import popular_score, score_candidates, weigh_neighbours
from pipeline.settings import Settings
from pipeline.store.duck import count


def run(settings: Settings, viewer: str, post: str | None, *, feed: str = "", as_json: bool) -> None:
    """Print the explanation; ExplainError when the viewer or the post is unknown."""
    explanation = explain(settings.data_dir, settings.batch_threads, viewer, post, feed)
    print(json.dumps(asdict(explanation), indent=2) if as_json else as_text(explanation))


def run_why(
    settings: Settings, viewer: str, texts: Sequence[str], *, feed: str = "", public: bool, as_json: bool
) -> None:
    """Print a list with reasons, under the changes that NAME=VALUE texts ask for; ExplainError as ``run``."""
    found = list_reasons.why(
        settings.data_dir,
        settings.batch_threads,
        viewer,
        list_reasons.changes_of(texts),
        public=public,
        feed=feed,
    )
    print(json.dumps(found) if as_json else list_as_text(found))


def explain(
    data_dir: Path, threads: int, viewer: str, post: str | None = None, feed: str = ""
) -> Explanation:
    """Return why a viewer's list in a feed is as it is, and what happened to a post; "" is the first feed."""
    with closing(GenerationInputs(data_dir, threads, feed)) as inputs:
        return explain_from(inputs, viewer, post)


@within_bounds()
def explain_from(inputs: GenerationInputs, viewer: str, post: str | None = None) -> Explanation:
    """Do the same with open inputs, which may serve many viewers one after another."""
    viewer_id, did = inputs.find_viewer(viewer)
    inputs.choose_variant(did)
    key = None if post is None else inputs.find_post(post)
    inputs.restrict(viewer_id, did, key)
    inputs.run(*PICKS)
    result = Explanation(
        did,
        inputs.generation,
        inputs.snapshot_us,
        inputs.neighbours_us,
        asdict(inputs.ranking),
        inputs.variant,
        inputs.forecast_us,
        count(inputs.connection, "viewer_neighbours"),
    )
    score_candidates(inputs)
    result.listed, result.scored = inputs.rows("listed"), inputs.rows("terms")
    if key is not None:
        result.facts = inputs.rows("post_facts")[0]
        result.contributors = inputs.rows("contributors")
        uri = "SELECT post_uri(did, ?) FROM actors WHERE actor_id = ?"
        found = inputs.connection.execute(uri, [key[1], key[0]]).fetchone()
        result.post = found[0] if found else None
    weigh_neighbours(inputs)
    result.shared = inputs.rows("shared_seeds")
    scored = {row["post_uri"] for row in result.scored if row["position"] is not None}
    if any(
        item["source"] == "popular" and item["post_uri"] == result.post and result.post not in scored
        for item in result.listed
    ):
        result.popular_score = popular_score(inputs)
    if key is not None:
        result.verdict = verdict(result)
    return result
