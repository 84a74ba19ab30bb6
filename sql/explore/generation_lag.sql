-- Question: how stale is what is served: how long does each generation take, and how far apart are they?
-- Reads: generations
-- Grain: one row a generation of the last 30 days, newest first
-- Parameters: rows = 20 (generations shown)
-- Units: behind_minutes from the newest like counted to the moment it was published; apart_minutes since the
--   generation before; lists and items are those written anew

SELECT
  generation, snapshot_at, published_at,
  (epoch_us(published_at) - epoch_us(snapshot_at)) / 60000000.0::DOUBLE AS behind_minutes,
  (epoch_us(published_at) - epoch_us(lag(published_at) OVER (ORDER BY generation)))
    / 60000000.0::DOUBLE AS apart_minutes,
  lists, items
FROM generations
ORDER BY generation DESC
LIMIT coalesce(getvariable('rows'), 20);
