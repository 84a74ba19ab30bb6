-- Question: which generation is served, how old is it, and how many viewers have a list?
-- Reads: generations, viewers
-- Writes: none
-- Grain: one row, none before the first publication
-- Parameters: :now_us
-- Units: _us are microseconds since 1970 (UTC)
SELECT
  generation, snapshot_us, published_us, lists, items,
  (:now_us - published_us) / 1e6 AS age_seconds,
  (SELECT count(*) FROM viewers) AS viewers
FROM generations
ORDER BY generation DESC
LIMIT 1
