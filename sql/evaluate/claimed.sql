-- Question: since when is each like reported, of the posts of which a liker's repository lists a like that no stream reported?
-- Reads: valid_likes, claimed_likes
-- Writes: claimed
-- Grain: one row per (liker, post) with such a record
-- Parameters: none
-- Units: reported_us is when the first record was seen of those that a stream or an archive reported; the end of time
--   (2^63 - 1) when there is none
-- Columns: liker_id, author_id, post_rkey, reported_us
CREATE OR REPLACE TABLE claimed AS
SELECT
  v.liker_id, v.author_id, v.post_rkey,
  coalesce(min(CASE WHEN c.rkey IS NULL THEN v.seen_us ELSE c.reported_us END), 9223372036854775807)::BIGINT
    AS reported_us
FROM valid_likes AS v
SEMI JOIN claimed_likes AS k ON k.liker_id = v.liker_id
LEFT JOIN claimed_likes AS c ON c.liker_id = v.liker_id AND c.rkey = v.rkey
GROUP BY v.liker_id, v.author_id, v.post_rkey
HAVING bool_or(c.rkey IS NOT NULL);
