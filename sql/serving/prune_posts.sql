-- Question: which posts does no remaining list name, nor one that another run is about to write?
-- Reads: posts, lists, fallbacks
-- Writes: posts
-- Grain: one post
-- Parameters: :oldest_kept, so that what a run has just numbered stays until it has published
-- Units: none

DELETE FROM posts
WHERE last_generation < :oldest_kept
  AND last_generation < (
    SELECT min(generation)
    FROM (SELECT min(generation) AS generation FROM lists
          UNION ALL
          SELECT min(generation) FROM fallbacks));
