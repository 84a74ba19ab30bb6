-- Question: who liked both of two posts?
-- Reads: likes_between, stored_actors
-- Writes: none
-- Grain: one row per person who liked both, by DID
-- Parameters: post (at-uri or bsky.app address with a DID), other (the second post), days = 30.0 (days back from now)
-- Units: times are UTC. On a large store, choose fewer days
SET VARIABLE post_author = author_number(getvariable('post'));
SET VARIABLE post_rkey = uri_rkey(getvariable('post'));
SET VARIABLE other_author = author_number(getvariable('other'));
SET VARIABLE other_rkey = uri_rkey(getvariable('other'));

WITH first AS (
  SELECT liker_id, seen_us
  FROM likes_between(hours_ago(24 * coalesce(getvariable('days'), 30.0)), getvariable('now_us'))
  WHERE author_id = getvariable('post_author') AND post_rkey = getvariable('post_rkey')
), second AS (
  SELECT liker_id, seen_us
  FROM likes_between(hours_ago(24 * coalesce(getvariable('days'), 30.0)), getvariable('now_us'))
  WHERE author_id = getvariable('other_author') AND post_rkey = getvariable('other_rkey')
)
SELECT
  a.did AS actor_did, make_timestamp(f.seen_us) AS liked_post_at, make_timestamp(s.seen_us) AS liked_other_at
FROM first AS f
JOIN second AS s ON s.liker_id = f.liker_id
JOIN stored_actors AS a ON a.actor_id = f.liker_id
ORDER BY actor_did;
