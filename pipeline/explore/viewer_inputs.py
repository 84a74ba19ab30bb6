"""What one viewer's list is made of, whatever the recipe: read once, for as many recipes as somebody tries.

Owns: which likes are read for a viewer, in which order, and that nothing is read again while the recipe changes. Leaves
to others: opening the inputs (``generation_inputs``), the list and its reasons (``list_reasons``), the ranking itself
(``sql/batch``).

What is read of the lake are the viewer's own likes, those of the viewer's seeds, the neighbours' of the last days, and
those of the posts that these liked: as a run for few viewers does (``batch.few_viewers_job``). Like it, this takes from
the last full pass how many likes everybody has. All further inputs are reduced to the posts and people in there.

``public`` leaves out all that only this installation knows of a viewer: what they were shown, have seen and have
answered. What is left follows from likes, which everybody can read on the network.
"""

from pathlib import Path

from pipeline.batch.inputs import sql_steps
from pipeline.explore.explanation import Row
from pipeline.explore.generation_inputs import GenerationInputs
from pipeline.explore.viewer_run import run_for_viewer
from pipeline.ranking import Ranking

MEMORY_LIMIT = "700MB"  # it runs beside the web app
SPILL_MAX_SIZE = "2GB"  # and strangers ask: what they ask for must not fill the disk


class ViewerInputs:
    """A viewer's inputs of the newest generation; close them after use.

    ``ranking`` is what their list was made by, ``shared`` which of their seeds each neighbour shares, ``listed`` their
    list as it is.
    """

    def __init__(self, data_dir: Path, threads: int, viewer: str, *, public: bool, feed: str = "") -> None:
        self.inputs = GenerationInputs(data_dir, threads, feed)
        try:
            execute = self.inputs.connection.execute
            execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
            execute(f"SET max_temp_directory_size = '{SPILL_MAX_SIZE}'")
            self.public = public
            self.viewer_id, self.did = self.inputs.find_viewer(viewer)
            self.inputs.choose_variant(self.did, public=public)
            self.ranking: Ranking = self.inputs.ranking
            self.shared: list[Row] = []
            self.listed: list[Row] = []
            self._has_read = False
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the inputs and remove what was spilled."""
        self.inputs.close()

    def read(self) -> None:
        """Read what the lists of all recipes are made of, if that is still to be done."""
        if self._has_read:
            return
        inputs, execute = self.inputs, self.inputs.connection.execute
        inputs.restrict(self.viewer_id, self.did, None)
        if self.public:
            for name in ("interactions", "neighbours_interactions", "visits"):
                execute(f"DELETE FROM my_{name}")
            execute("DELETE FROM found_neighbours")
        self._read_seeds()
        execute("CREATE OR REPLACE TABLE viewer_neighbours AS FROM found_neighbours")
        execute("DELETE FROM seed_likers WHERE liker_id NOT IN (SELECT neighbour_id FROM viewer_neighbours)")
        run_for_viewer(inputs, ["co_likers"])
        self.shared = inputs.rows("shared_seeds")
        self.listed = inputs.rows("listed")
        self._read_candidates()
        self._has_read = True

    def _read_seeds(self) -> None:
        """Make the viewer's ``seeds`` and who liked them; in public, find the neighbours by these alone."""
        inputs, execute = self.inputs, self.inputs.connection.execute
        window_hours = self.ranking.seed_window_days * 24.0
        execute("CREATE OR REPLACE TABLE people AS SELECT getvariable('viewer_id')::INTEGER AS actor_id")
        inputs.run("own_records", "answered_posts", "seed_records")
        inputs.use_near("seed_records")
        inputs.use_records("seed_records", inputs.neighbours_us, window_hours)
        inputs.use_interactions("neighbours_interactions")
        run_for_viewer(inputs, sql_steps.SEEDS)
        if not self.public:
            return
        if inputs.use_degrees():
            run_for_viewer(inputs, sql_steps.NEIGHBOURS)
        else:
            self._find_neighbours_by_all_likes(window_hours)
        execute("CREATE OR REPLACE TABLE found_neighbours AS FROM neighbours")

    def _find_neighbours_by_all_likes(self, window_hours: float) -> None:
        """Find neighbours where there was no full pass: a co-liker's weight depends on all they have."""
        inputs, execute = self.inputs, self.inputs.connection.execute
        execute("CREATE OR REPLACE TABLE viewer_records AS FROM own_records")
        inputs.run("public_people", "own_records")
        inputs.use_records("own_records", inputs.neighbours_us, window_hours)
        run_for_viewer(inputs, (*sql_steps.LIKES, *sql_steps.NEIGHBOURS))
        execute("CREATE OR REPLACE TABLE own_records AS FROM viewer_records")

    def _read_candidates(self) -> None:
        """Make ``likes`` of all that may be in the viewer's list, by whatever recipe."""
        inputs = self.inputs
        inputs.run("recent_records", "wanted_posts", "candidate_records")
        inputs.use_near("candidate_records")
        inputs.use_interactions("interactions")
        inputs.use_records("candidate_records", inputs.snapshot_us, self.ranking.post_max_age_hours)
        for name in sql_steps.LIKES:
            sql_steps.run_file(inputs.connection, name)
