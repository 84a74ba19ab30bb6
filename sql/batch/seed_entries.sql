-- Question: what is matrix A: which viewer has which seed, and with what value?
-- Reads: seeds, seed_posts
-- Writes: seed_entries
-- Grain: one row per (viewer, seed post with co-likers)
-- Parameters: none
-- Units: value = the seed's weight * the post's scale, to the nearest 2^-36: so sums of some hundred are exact and
--   their sign does not depend on the order of adding
-- Columns: viewer_id, seed_no, value, liked BOOLEAN (false for an answer)
CREATE OR REPLACE TABLE seed_entries AS
SELECT s.viewer_id, p.seed_no, floor(s.weight * p.scale * 68719476736 + 0.5) / 68719476736 AS value, s.liked
FROM seeds AS s
JOIN seed_posts AS p ON p.author_id = s.author_id AND p.post_rkey = s.post_rkey
ORDER BY s.viewer_id;
