-- Question: who has liked anything, and in which languages did their app last ask for a feed?
-- Reads: likes, actors, visits
-- Writes: users
-- Grain: one row per liker
-- Parameters: none
-- Units: user_no counts from 0 by liker_id; languages are codes with commas between them, '' for none
-- Columns: user_no, liker_id, languages VARCHAR
CREATE OR REPLACE TABLE users AS
WITH likers AS (
  SELECT DISTINCT liker_id FROM likes
), requested AS (
  SELECT viewer_did, arg_max(languages, last_us) AS languages FROM visits GROUP BY viewer_did
)
SELECT
  (row_number() OVER (ORDER BY l.liker_id) - 1)::INTEGER AS user_no, l.liker_id,
  coalesce(r.languages, '') AS languages
FROM likers AS l
LEFT JOIN actors AS a ON a.actor_id = l.liker_id
LEFT JOIN requested AS r ON r.viewer_did = a.did;
