-- Question: how stale is what is served: how long does each run take to publish, and how far apart are they?
-- Reads: generations
-- Writes: none
-- Grain: one row per snapshot of the last 30 days, newest first; a run for many viewers makes several generations from
--   one
-- Parameters: rows = 20 (snapshots shown)
-- Units: generation is the snapshot's newest; behind_minutes is from its newest like to its last publication,
--   apart_minutes from the previous snapshot's last publication; lists and items are those that changed
SELECT
  max(generation) AS generation, snapshot_at, max(published_at) AS published_at,
  (epoch_us(max(published_at)) - epoch_us(snapshot_at)) / 60000000.0::DOUBLE AS behind_minutes,
  (epoch_us(max(published_at)) - epoch_us(lag(max(published_at)) OVER (ORDER BY snapshot_at)))
    / 60000000.0::DOUBLE AS apart_minutes,
  sum(lists)::BIGINT AS lists, sum(items)::BIGINT AS items
FROM generations
GROUP BY snapshot_at
ORDER BY snapshot_at DESC
LIMIT coalesce(getvariable('rows'), 20);
