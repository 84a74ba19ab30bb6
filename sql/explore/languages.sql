-- Question: in which languages are posts written and liked?
-- Reads: likes_between, stored_posts
-- Writes: none
-- Grain: one row per language; a post with several counts in each, a post that names none as ''. Likes
--   of posts that are no longer stored (older than post_max_age_hours) are 'unknown'
-- Parameters: hours = 24.0 (hours back from now)
-- Units: posts were created in the span and are not deleted; likes are of the span, like_share is of its likes. On a
--   large store, choose fewer hours
WITH written AS (
  SELECT author_id, rkey, created_us, unnest(string_split(langs, ',')) AS language
  FROM stored_posts
  WHERE NOT deleted
), posted AS (
  SELECT language, count(*) AS posts
  FROM written
  WHERE created_us > hours_ago(coalesce(getvariable('hours'), 24.0)) AND created_us <= getvariable('now_us')
  GROUP BY language
), span AS (
  SELECT * FROM likes_between(hours_ago(coalesce(getvariable('hours'), 24.0)), getvariable('now_us'))
), liked AS (
  SELECT coalesce(w.language, 'unknown') AS language, count(*) AS likes, count(DISTINCT s.liker_id) AS likers
  FROM span AS s
  LEFT JOIN written AS w ON w.author_id = s.author_id AND w.rkey = s.post_rkey
  GROUP BY 1
)
SELECT
  language, coalesce(p.posts, 0) AS posts, coalesce(l.likes, 0) AS likes, coalesce(l.likers, 0) AS likers,
  coalesce(l.likes, 0) / (SELECT count(*) FROM span)::DOUBLE AS like_share
FROM posted AS p
FULL JOIN liked AS l USING (language)
ORDER BY likes DESC, posts DESC, language;
