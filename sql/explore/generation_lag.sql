-- Question: how stale is what is served: how long does each run take to publish, and how far apart are they?
-- Reads: generations
-- Writes: none
-- Grain: one row per feed and snapshot of the last 30 days, newest first; a run for many viewers makes several
--   generations from one
-- Parameters: rows = 20 (snapshots shown), feed = '' (record key of a feed; '' for all)
-- Units: generation is the snapshot's newest; everybody: the run was for everybody, not for some viewers;
--   behind_minutes is from its newest like to its last publication, apart_minutes from the last publication of the
--   snapshot before, of the same feed and for everybody or not alike; lists and items are those that changed
SET VARIABLE of_feed = any_feed(getvariable('feed'));

SELECT
  max(generation) AS generation, feed, everybody, snapshot_at, max(published_at) AS published_at,
  (epoch_us(max(published_at)) - epoch_us(snapshot_at)) / 60000000.0::DOUBLE AS behind_minutes,
  (epoch_us(max(published_at))
    - epoch_us(lag(max(published_at)) OVER (PARTITION BY feed, everybody ORDER BY snapshot_at)))
    / 60000000.0::DOUBLE AS apart_minutes,
  sum(lists)::BIGINT AS lists, sum(items)::BIGINT AS items
FROM generations
WHERE getvariable('of_feed') IN ('', feed)
GROUP BY feed, everybody, snapshot_at
ORDER BY snapshot_at DESC, generation DESC
LIMIT coalesce(getvariable('rows'), 20);
