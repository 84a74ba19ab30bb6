-- Question: which authors that lists name was the AppView not asked about lately?
-- Reads: actors, profile_requests, serving.posts (of serving.sqlite, attached)
-- Writes: none
-- Grain: one row per author, first those who were never asked about, and of these first who wrote what many like
-- Parameters: :now_us, :again_us (how long an answer counts), :rows (at most)
-- Units: microseconds of this machine's clock; a time to come was of a clock that was wrong
WITH authors AS (
  SELECT author_id, max(likers) AS likers
  FROM serving.posts
  GROUP BY author_id
)
SELECT w.author_id, a.did
FROM authors AS w
JOIN actors AS a ON a.actor_id = w.author_id
LEFT JOIN profile_requests AS p ON p.actor_id = w.author_id
WHERE p.actor_id IS NULL OR p.requested_us NOT BETWEEN :now_us - :again_us AND :now_us
ORDER BY p.actor_id IS NOT NULL, w.likers DESC, w.author_id
LIMIT :rows;
