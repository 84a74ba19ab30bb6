-- Question: which posts does no remaining list name, nor one that another run is about to write?
-- Reads: lists, fallbacks
-- Writes: posts
-- Grain: one row per post
-- Parameters: :oldest_kept (posts that a run has just numbered stay until it has published)
-- Units: generations
DELETE FROM posts
WHERE last_generation < :oldest_kept
  AND last_generation < (
    SELECT min(generation)
    FROM (SELECT min(generation) AS generation FROM lists
          UNION ALL
          SELECT min(generation) FROM fallbacks));
