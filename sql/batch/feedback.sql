-- Question: what did viewers do with candidate posts?
-- Reads: interactions, actors, candidate_posts
-- Writes: feedback
-- Grain: one row a (viewer, candidate post, event)
-- Parameters: none
-- Units: event is the lexicon's name without its prefix, for instance 'requestLess'

CREATE OR REPLACE TABLE feedback AS
WITH parsed AS (
  SELECT
    viewer_did, event,
    string_split(post_uri, '/')[3] AS author_did,
    tid_number(string_split(post_uri, '/')[5]) AS rkey
  FROM interactions
  WHERE post_uri LIKE 'at://%/app.bsky.feed.post/%'
)
SELECT DISTINCT v.actor_id AS viewer_id, p.post_no, i.event
FROM parsed AS i
JOIN actors AS v ON v.did = i.viewer_did
JOIN actors AS a ON a.did = i.author_did
JOIN candidate_posts AS p ON p.author_id = a.actor_id AND p.rkey = i.rkey;
