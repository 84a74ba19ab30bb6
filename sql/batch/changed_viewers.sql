-- Question: whose neighbours no longer match their likes and answers?
-- Reads: viewers, valid_likes, actors, former_neighbours, answered_viewers, reported_actors
-- Writes: changed_viewers
-- Grain: one row per viewer
-- Parameters: reported_late_us
-- Units: a like is new when its stream time is later than the snapshot of the viewer's neighbours,
--   or at most reported_late_us before it
-- Columns: viewer_id
CREATE OR REPLACE TABLE changed_viewers AS
WITH known AS (
  SELECT f.viewer_id, max(f.snapshot_us) AS snapshot_us
  FROM former_neighbours AS f
  SEMI JOIN viewers AS v ON v.viewer_id = f.viewer_id
  WHERE f.rank = 1
  GROUP BY f.viewer_id
), newest AS (
  SELECT l.liker_id, max(l.seen_us) AS seen_us
  FROM valid_likes AS l
  SEMI JOIN viewers AS v ON v.viewer_id = l.liker_id
  GROUP BY l.liker_id
), answered AS (
  SELECT a.actor_id
  FROM actors AS a
  SEMI JOIN answered_viewers AS t ON t.viewer_did = a.did
)
SELECT v.viewer_id
FROM viewers AS v
LEFT JOIN known AS k ON k.viewer_id = v.viewer_id
LEFT JOIN newest AS n ON n.liker_id = v.viewer_id
WHERE k.viewer_id IS NULL
  OR n.seen_us > k.snapshot_us - getvariable('reported_late_us')
  OR v.viewer_id IN (SELECT actor_id FROM answered)
  OR v.viewer_id IN (SELECT actor_id FROM reported_actors);
