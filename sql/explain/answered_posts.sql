-- Question: which posts did the viewer answer, for instance with "show less"?
-- Reads: my_interactions, my_neighbours_interactions, actors
-- Writes: answered_posts
-- Grain: one row per post
-- Parameters: none
-- Units: none
-- Columns: author_id, post_rkey
CREATE OR REPLACE TABLE answered_posts AS
SELECT DISTINCT a.actor_id AS author_id, tid_number(string_split(i.post_uri, '/')[5]) AS post_rkey
FROM (FROM my_interactions UNION FROM my_neighbours_interactions) AS i
JOIN actors AS a ON a.did = string_split(i.post_uri, '/')[3]
WHERE i.post_uri LIKE 'at://%/app.bsky.feed.post/%';
