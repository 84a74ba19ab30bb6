"""What does a page cost in the journals of machines that serve beside each other?

    python tests/bench/bench_journals.py [--pages 100000] [--turn 400] [--viewers 300000]

Two machines write --pages pages of 30 posts of --viewers viewers, in one of twenty cases a "show less" instead. After
every --turn pages one of them takes all of it into its activity.sqlite, as ``foryou sync`` does twice a second. Counts
the processor's time for writing the lines, without the disk, and for taking them. Prints it in ms a page, and one line
of JSON.
"""

import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench_tools import parser_of
from serving_worlds import plc_did, post_uri

from serving.viewers.activity_queue import ActivityEvent, Interaction, Queued, ShownPage, Visit
from serving.viewers.journal import Journal, lines_of
from serving.viewers.taken_journals import JournalTaker

POSTS, PAGE_POSTS, MACHINES, FEED = 300_000, 30, ("this", "other"), "for-you"


def some_events(chance: random.Random, viewers: int, now_us: int) -> list[ActivityEvent]:
    """Return what a request is remembered by."""
    viewer = plc_did(chance.randrange(viewers))
    if chance.random() < 0.05:
        return [Interaction(viewer, post_uri(chance.randint(1, POSTS)), "requestLess", FEED, "", "", now_us)]
    posts = [post_uri(chance.randint(1, POSTS)) for _ in range(PAGE_POSTS)]
    page = ShownPage(viewer, FEED, 1, 1, posts, [1] * PAGE_POSTS, now_us)
    return [Visit(viewer, FEED, "en", now_us), page]


def measured(folder: Path, pages: int, turn: int, viewers: int) -> dict[str, float]:
    """Return the milliseconds of the processor that a page takes."""
    chance = random.Random(1)
    journals = folder / "journals"
    journals.mkdir()
    writers = [Journal(journals / machine) for machine in MACHINES]
    taker = JournalTaker(folder / "data", journals, MACHINES[0], None, lambda _did, _at_us: None)
    (folder / "data").mkdir()
    writing = taking = 0.0
    for _ in range(pages // turn):
        now_us = int(time.time() * 1e6)
        for writer in writers:
            made = (some_events(chance, viewers, now_us) for _ in range(turn // len(MACHINES)))
            batch = [Queued(event, known=True) for events in made for event in events]
            began = time.process_time()
            lines = lines_of(batch)
            writing += time.process_time() - began
            assert writer.append(lines)
        began = time.process_time()
        assert taker.take() > 0
        taking += time.process_time() - began
    return {"write_ms": round(1e3 * writing / pages, 3), "take_ms": round(1e3 * taking / pages, 3)}


def main() -> None:
    """Measure, and print."""
    options = parser_of(__doc__, pages=100_000, turn=400, viewers=300_000).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), options.pages, options.turn, options.viewers)
    print(f"written as lines {found['write_ms']} ms a page, taken {found['take_ms']} ms a page")
    print(json.dumps({"bench": "journals", **vars(options), **found}))


if __name__ == "__main__":
    main()
