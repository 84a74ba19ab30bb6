-- Question: how many likes did a post get in each hour after its creation?
-- Reads: likes_between
-- Writes: none
-- Grain: one row per hour of the post's age with likes, youngest first
-- Parameters: post (at-uri or bsky.app address with a DID), days = 30.0 (days back from now)
-- Units: age_hours is whole hours since the time in the post's rkey; so_far is the sum up to then. On a large store,
--   choose fewer days
SET VARIABLE post_author = author_number(getvariable('post'));
SET VARIABLE post_rkey = uri_rkey(getvariable('post'));

WITH counted AS (
  SELECT floor((seen_us - (post_rkey >> 10)) / 3600000000.0)::BIGINT AS age_hours, count(*) AS likes
  FROM likes_between(hours_ago(24 * coalesce(getvariable('days'), 30.0)), getvariable('now_us'))
  WHERE author_id = getvariable('post_author') AND post_rkey = getvariable('post_rkey')
  GROUP BY age_hours
)
SELECT age_hours, likes, (sum(likes) OVER (ORDER BY age_hours))::BIGINT AS so_far
FROM counted
ORDER BY age_hours;
