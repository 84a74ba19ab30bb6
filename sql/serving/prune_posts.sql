-- Question: which posts does no remaining list name?
-- Reads: posts, lists, fallbacks
-- Writes: posts
-- Grain: one post
-- Parameters: none
-- Units: none

DELETE FROM posts
WHERE last_generation < (
  SELECT min(generation)
  FROM (SELECT min(generation) AS generation FROM lists
        UNION ALL
        SELECT min(generation) FROM fallbacks));
