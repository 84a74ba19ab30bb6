-- Runs by feed and tier, and when a waiting viewer was last seen to. Columns of the key come first: where they don't,
-- SQLite 3.40's integrity_check finds NULLs that are not there.

CREATE TABLE tiered_runs (
  run_id     INTEGER NOT NULL,
  job        TEXT    NOT NULL,   -- compact, neighbours, candidates
  tier       TEXT    NOT NULL DEFAULT 'all',   -- whose lists: all, changed, recent, waiting
  feed       TEXT    NOT NULL DEFAULT '',      -- record key of the feed; '' where a run is of all feeds
  step       TEXT    NOT NULL,
  started_us INTEGER NOT NULL,
  seconds    REAL    NOT NULL,
  rows       INTEGER NOT NULL,   -- rows the step made
  peak_mb    REAL    NOT NULL,   -- the process's peak resident memory so far
  outcome    TEXT    NOT NULL,   -- 'done', or the error's one line
  PRIMARY KEY (run_id, job, tier, feed, step)
) WITHOUT ROWID;
INSERT INTO tiered_runs (run_id, job, step, started_us, seconds, rows, peak_mb, outcome)
SELECT run_id, job, step, started_us, seconds, rows, peak_mb, outcome FROM runs;
DROP TABLE runs;
ALTER TABLE tiered_runs RENAME TO runs;

-- A viewer who had no list, or whose likes or answers were newer than it, and when a run for them began.
CREATE TABLE attended (
  viewer_did TEXT    PRIMARY KEY,
  began_us   INTEGER NOT NULL
) WITHOUT ROWID;
