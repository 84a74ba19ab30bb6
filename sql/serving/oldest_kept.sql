-- Question: which is the oldest generation that readers may still hold? (One that was the newest at some time since: a
--   page cursor made then names it.)
-- Reads: generations
-- Writes: none
-- Grain: one number
-- Parameters: :keep_since_us
-- Units: microseconds since 1970 (UTC)
SELECT coalesce(max(generation) FILTER (WHERE published_us < :keep_since_us), min(generation))
FROM generations;
