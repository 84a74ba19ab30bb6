-- Question: which posts did viewers answer, and how?
-- Reads: interactions, actors
-- Writes: answers
-- Grain: one row per (viewer, post, event)
-- Parameters: none
-- Units: event is the lexicon's name without its prefix, for instance 'requestLess'
-- Columns: viewer_id, author_id, post_rkey, event
CREATE OR REPLACE TABLE answers AS
WITH parsed AS (
  SELECT
    viewer_did, event,
    string_split(post_uri, '/')[3] AS author_did,
    tid_number(string_split(post_uri, '/')[5]) AS post_rkey
  FROM interactions
  WHERE post_uri LIKE 'at://%/app.bsky.feed.post/%'
)
SELECT DISTINCT v.actor_id AS viewer_id, a.actor_id AS author_id, i.post_rkey, i.event
FROM parsed AS i
JOIN actors AS v ON v.did = i.viewer_did
JOIN actors AS a ON a.did = i.author_did
WHERE i.post_rkey IS NOT NULL;
