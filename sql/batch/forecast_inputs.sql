-- Question: what is known of each popular post that says how it will be liked next?
-- Reads: popular, candidate_posts, likes, crowd_likers
-- Writes: forecast_inputs
-- Grain: one row per post of any list in popular
-- Parameters: snapshot_us, candidate_window_hours
-- Units: mass_… = sum over crowds of ln(1 + the worth of their likes in the last 5 minutes … 48 hours), as in popular, so
--   that one circle can't push it; share_… = its part of all these posts' mass; age_hours since the post was made;
--   idle_hours since its last like
-- Columns: post_no, mass_5m, mass_15m, mass_30m, mass_1h, mass_2h, mass_4h, mass_8h, mass_16h, mass_24h, mass_48h, share_5m,
--   share_15m, share_30m, share_1h, share_2h, share_4h, share_8h, share_16h, share_24h, share_48h, age_hours, idle_hours
CREATE OR REPLACE TABLE forecast_inputs AS
WITH listed AS (
  SELECT p.post_no, p.author_id, p.rkey, p.created_us
  FROM candidate_posts AS p
  SEMI JOIN popular AS l ON l.post_no = p.post_no
), liked AS (
  SELECT p.post_no, w.crowd, w.worth, hours_before(l.seen_us) AS hours
  FROM likes AS l
  JOIN listed AS p ON p.author_id = l.author_id AND p.rkey = l.post_rkey
  JOIN crowd_likers AS w ON w.liker_id = l.liker_id
  WHERE hours_before(l.seen_us) < getvariable('candidate_window_hours')
), crowds AS (
  SELECT
    post_no, min(hours) AS idle_hours,
    coalesce(sum(worth) FILTER (hours < 1 / 12::DOUBLE), 0) AS of_5m,
    coalesce(sum(worth) FILTER (hours < 0.25), 0) AS of_15m,
    coalesce(sum(worth) FILTER (hours < 0.5), 0) AS of_30m,
    coalesce(sum(worth) FILTER (hours < 1), 0) AS of_1h,
    coalesce(sum(worth) FILTER (hours < 2), 0) AS of_2h,
    coalesce(sum(worth) FILTER (hours < 4), 0) AS of_4h,
    coalesce(sum(worth) FILTER (hours < 8), 0) AS of_8h,
    coalesce(sum(worth) FILTER (hours < 16), 0) AS of_16h,
    coalesce(sum(worth) FILTER (hours < 24), 0) AS of_24h,
    coalesce(sum(worth) FILTER (hours < 48), 0) AS of_48h
  FROM liked
  GROUP BY post_no, crowd
), masses AS (
  SELECT
    post_no, min(idle_hours) AS idle_hours,
    sum(damped(of_5m)) AS mass_5m, sum(damped(of_15m)) AS mass_15m, sum(damped(of_30m)) AS mass_30m,
    sum(damped(of_1h)) AS mass_1h, sum(damped(of_2h)) AS mass_2h, sum(damped(of_4h)) AS mass_4h,
    sum(damped(of_8h)) AS mass_8h, sum(damped(of_16h)) AS mass_16h, sum(damped(of_24h)) AS mass_24h,
    sum(damped(of_48h)) AS mass_48h
  FROM crowds
  GROUP BY post_no
)
SELECT
  m.post_no, m.mass_5m, m.mass_15m, m.mass_30m, m.mass_1h, m.mass_2h, m.mass_4h, m.mass_8h, m.mass_16h, m.mass_24h,
  m.mass_48h,
  coalesce(m.mass_5m / nullif(sum(m.mass_5m) OVER (), 0), 0) AS share_5m,
  coalesce(m.mass_15m / nullif(sum(m.mass_15m) OVER (), 0), 0) AS share_15m,
  coalesce(m.mass_30m / nullif(sum(m.mass_30m) OVER (), 0), 0) AS share_30m,
  coalesce(m.mass_1h / nullif(sum(m.mass_1h) OVER (), 0), 0) AS share_1h,
  coalesce(m.mass_2h / nullif(sum(m.mass_2h) OVER (), 0), 0) AS share_2h,
  coalesce(m.mass_4h / nullif(sum(m.mass_4h) OVER (), 0), 0) AS share_4h,
  coalesce(m.mass_8h / nullif(sum(m.mass_8h) OVER (), 0), 0) AS share_8h,
  coalesce(m.mass_16h / nullif(sum(m.mass_16h) OVER (), 0), 0) AS share_16h,
  coalesce(m.mass_24h / nullif(sum(m.mass_24h) OVER (), 0), 0) AS share_24h,
  coalesce(m.mass_48h / nullif(sum(m.mass_48h) OVER (), 0), 0) AS share_48h,
  greatest(hours_before(p.created_us), 0) AS age_hours, m.idle_hours
FROM masses AS m
JOIN listed AS p ON p.post_no = m.post_no;
