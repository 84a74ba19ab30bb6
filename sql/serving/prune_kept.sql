-- Question: which is the oldest generation that readers may still hold? That which was the newest at some time, since
--   a page cursor made then names it.
-- Reads: generations
-- Writes: nothing
-- Grain: one row
-- Parameters: :keep_since_us
-- Units: microseconds since 1970 (UTC)

SELECT coalesce(max(generation) FILTER (WHERE published_us < :keep_since_us), min(generation))
FROM generations;
