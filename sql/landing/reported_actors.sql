-- Question: of whose likes was something reported since a commit, or whose repository was fetched?
-- Reads: like_words (whole: it is not sorted by commit), fetched_viewers, actors
-- Writes: none
-- Grain: one row per actor
-- Parameters: :commit_no (the number of the commit)
-- Units: none
SELECT DISTINCT liker_id AS actor_id FROM like_words WHERE commit_no > :commit_no
UNION
SELECT a.actor_id
FROM fetched_viewers AS f
CROSS JOIN actors AS a ON a.did = f.did
WHERE f.commit_no > :commit_no AND f.outcome <> 'enough'
