-- Question: how many like records are there, and which of them do not count?
-- Reads: stored_likes, stored_changes, statements, stored_actors, stored_posts
-- Writes: none
-- Grain: one row per measure, in the order of the tests; the last is what counts
-- Parameters: hours = 24.0 (hours back from now)
-- Units: records; one that fails several tests is counted by the first. An unlike that came before its like's
--   day went to the lake left no record, so it is not here: the view counters has all unlikes. repeated: the same person liked the same post
--   under another key before
WITH records AS (
  SELECT liker_id, rkey, author_id, post_rkey, seen_us, bool_or(open) AS open
  FROM stored_likes
  WHERE file_day >= make_timestamp(hours_ago(coalesce(getvariable('hours'), 24.0)))::DATE
    AND seen_us > hours_ago(coalesce(getvariable('hours'), 24.0)) AND seen_us <= getvariable('now_us')
  GROUP BY ALL
), judged AS (
  SELECT
    r.liker_id, r.author_id, r.post_rkey,
    CASE
      WHEN s.actor_id IS NOT NULL THEN 3
      WHEN c.rkey IS NOT NULL THEN 2
      WHEN l.status <> 0 OR a.status <> 0 OR l.deleted_us >= r.seen_us OR a.deleted_us >= r.post_rkey >> 10
        THEN 3
      WHEN d.rkey IS NOT NULL THEN 4
      WHEN r.liker_id = r.author_id THEN 5
      ELSE 0 END AS verdict
  FROM records AS r
  LEFT JOIN (  -- one a like: a word that has just been written to the lake is stored twice
    SELECT liker_id, rkey, max(rev) AS rev FROM stored_changes GROUP BY liker_id, rkey
  ) AS c
    ON c.liker_id = r.liker_id AND c.rkey = r.rkey AND c.rev >= r.rkey AND NOT r.open
  LEFT JOIN (
    SELECT actor_id, max(rev) AS rev, arg_max(from_rkey, rev) AS from_rkey FROM statements GROUP BY actor_id
  ) AS s
    ON s.actor_id = r.liker_id AND s.rev > r.rkey AND s.from_rkey <= r.rkey AND NOT r.open
  JOIN stored_actors AS l ON l.actor_id = r.liker_id
  JOIN stored_actors AS a ON a.actor_id = r.author_id
  LEFT JOIN stored_posts AS d ON d.author_id = r.author_id AND d.rkey = r.post_rkey AND d.deleted
), counted AS (
  SELECT 1 AS place, 'records' AS measure, count(*) AS likes FROM judged
  UNION ALL
  SELECT 2, 'unliked later', count(*) FILTER (verdict = 2) FROM judged
  UNION ALL
  SELECT 3, 'account not active', count(*) FILTER (verdict = 3) FROM judged
  UNION ALL
  SELECT 4, 'post deleted', count(*) FILTER (verdict = 4) FROM judged
  UNION ALL
  SELECT 5, 'own post', count(*) FILTER (verdict = 5) FROM judged
  UNION ALL
  SELECT 6, 'repeated', count(*) - count(DISTINCT (liker_id, author_id, post_rkey)) FROM judged WHERE verdict = 0
  UNION ALL
  SELECT 7, 'counted', count(DISTINCT (liker_id, author_id, post_rkey)) FROM judged WHERE verdict = 0
)
SELECT measure, likes, likes / max(likes) OVER ()::DOUBLE AS share
FROM counted
ORDER BY place;
