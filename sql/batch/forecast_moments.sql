-- Question: what is a forecast learned from: what was popular at moments of the past, and what was liked after them?
-- Reads: stored_moments, forecast_inputs, crowd_shares, candidate_posts, popular, likes
-- Writes: forecast_moments
-- Grain: one row per (moment, popular post), at most 1,000 posts a moment, moments an hour apart, of 14 days
-- Parameters: snapshot_us, window_hours, whole_hours, forecast_hours
-- Units: moment_us is microseconds since 1970 (UTC); liked counts likes in the forecast_hours after it, NULL until these
--   are over; now as in crowd_shares. A moment whose hours were over before the likes that are at hand is left out
-- Columns: moment_us, author_id, rkey, now FLOAT, liked BIGINT, inputs FLOAT[] (as in forecast_inputs, in that order)
CREATE OR REPLACE TABLE forecast_moments AS
WITH kept AS (
  SELECT moment_us, author_id, rkey, now, liked, inputs
  FROM stored_moments
  WHERE moment_us < getvariable('snapshot_us') AND hours_before(moment_us) < 14 * 24
    AND (liked IS NOT NULL OR hours_before(moment_us) < least(getvariable('window_hours'), getvariable('whole_hours')))
), counted AS (
  SELECT k.moment_us, k.author_id, k.rkey, count(*) AS liked
  FROM kept AS k
  JOIN likes AS l ON l.author_id = k.author_id AND l.post_rkey = k.rkey
  WHERE k.liked IS NULL AND l.seen_us > k.moment_us
    AND l.seen_us <= k.moment_us + getvariable('forecast_hours') * 3600000000
  GROUP BY k.moment_us, k.author_id, k.rkey
), places AS (
  SELECT post_no, min(position) AS position FROM popular GROUP BY post_no
), added AS (
  SELECT
    getvariable('snapshot_us') AS moment_us, p.author_id, p.rkey, s.now::FLOAT AS now, NULL::BIGINT AS liked,
    [i.mass_5m, i.mass_15m, i.mass_30m, i.mass_1h, i.mass_2h, i.mass_4h, i.mass_8h, i.mass_16h, i.mass_24h, i.mass_48h,
     i.share_5m, i.share_15m, i.share_30m, i.share_1h, i.share_2h, i.share_4h, i.share_8h, i.share_16h, i.share_24h,
     i.share_48h, i.age_hours, i.idle_hours]::FLOAT[] AS inputs
  FROM forecast_inputs AS i
  JOIN candidate_posts AS p ON p.post_no = i.post_no
  JOIN crowd_shares AS s ON s.post_no = i.post_no
  JOIN places AS o ON o.post_no = i.post_no
  WHERE NOT EXISTS (SELECT 1 FROM kept WHERE hours_before(moment_us) < 55 / 60::DOUBLE)
  ORDER BY o.position, i.post_no
  LIMIT 1000
)
SELECT
  k.moment_us, k.author_id, k.rkey, k.now,
  CASE
    WHEN k.liked IS NOT NULL THEN k.liked
    WHEN hours_before(k.moment_us) >= getvariable('forecast_hours') THEN coalesce(c.liked, 0)
  END AS liked,
  k.inputs
FROM kept AS k
LEFT JOIN counted AS c ON c.moment_us = k.moment_us AND c.author_id = k.author_id AND c.rkey = k.rkey
UNION ALL
FROM added
ORDER BY moment_us, author_id, rkey;
