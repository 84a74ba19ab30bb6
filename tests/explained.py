"""Holding what ``foryou explain`` says of a list against the list itself: every item's score, every weight."""

from dataclasses import dataclass, field

import numpy as np
from analyst_store import FEED, Store

from pipeline.explore.explain_command import explain_from
from pipeline.explore.explanation import Explanation
from pipeline.explore.generation_inputs import GenerationInputs


@dataclass
class Checked:
    """What was compared so far; ``worst`` is the largest relative difference of a score or a weight."""

    scores: int = 0
    weights: int = 0
    worst: float = 0.0
    # By post that fills a list up: that list's viewer and the score there, to be looked at once.
    popular: dict[str, tuple[str, float]] = field(default_factory=dict)

    def near(self, found: float, wanted: float) -> None:
        """Note how far a number is from what it should be."""
        self.worst = max(self.worst, abs(found - wanted) / max(abs(wanted), 1e-30))

    def add(self, other: "Checked") -> None:
        """Take over what another has compared."""
        self.scores, self.weights = self.scores + other.scores, self.weights + other.weights
        self.worst = max(self.worst, other.worst)
        self.popular |= other.popular


def check_list(
    store: Store, inputs: GenerationInputs, viewer: str, checked: Checked, feed: str = FEED
) -> Explanation:
    """Compare a viewer's list, read from serving.sqlite, with its explanation; AssertionError for other posts."""
    found = explain_from(inputs, viewer)
    listed, renewed = store.lists_in(feed)[viewer], store.renewed_in(feed)
    assert [(row["post_uri"], row["co_likers"]) for row in found.listed] == [
        (item[0], item[2]) for item in listed
    ]
    scored = {row["post_uri"]: row for row in found.scored}
    for post, score, co_likers, source in listed:
        row = scored.get(post)
        if source == 2 and (row is None or row["position"] is None):
            checked.popular[post] = viewer, score
            continue
        assert row is not None
        assert row["co_likers"] == co_likers
        terms = row["similarity"] ** found.parameters["score_exponent"] * row["decay"] * row["popularity"]
        terms *= row["readable"]
        checked.near(float(np.float32(terms)), row["score"])
        if viewer in renewed:
            checked.near(row["score"], score)
            checked.scores += 1
    sums: dict[str, float] = {}
    scales = {row["neighbour_did"]: row["scale"] for row in found.shared}
    for row in found.shared:
        sums[row["neighbour_did"]] = sums.get(row["neighbour_did"], 0.0) + row["value"]
    assert found.neighbours == len(store.neighbours[viewer]) == len(sums)
    for did, weight in store.neighbours[viewer]:
        checked.near(sums[did] ** found.parameters["overlap_exponent"] * scales[did], weight)
        checked.weights += 1
    return found


def check_popular(inputs: GenerationInputs, post: str, checked: Checked) -> None:
    """Compare the score of a post that fills lists up with its explanation."""
    viewer, score = checked.popular[post]
    found = explain_from(inputs, viewer, post)
    assert found.popular_score is not None
    assert "as a popular post" in found.verdict[0]
    checked.near(found.popular_score, score)
    checked.scores += 1
