-- Question: for whom are neighbours computed?
-- Reads: valid_likes, actors, visits, interactions
-- Writes: viewers
-- Grain: one row per active actor who liked something lately, opened the feed, or picked posts to begin with
-- Parameters: snapshot_us, viewer_active_days
-- Units: none
-- Columns: viewer_id
CREATE OR REPLACE TABLE viewers AS
SELECT DISTINCT liker_id AS viewer_id
FROM valid_likes
WHERE seen_us > getvariable('snapshot_us') - (getvariable('viewer_active_days') * 86400000000)::BIGINT
UNION
SELECT a.actor_id
FROM actors AS a
SEMI JOIN visits AS v ON v.viewer_did = a.did
WHERE a.status = 0
UNION
SELECT a.actor_id
FROM actors AS a
SEMI JOIN interactions AS i ON i.viewer_did = a.did AND i.event = 'pick'
WHERE a.status = 0;
