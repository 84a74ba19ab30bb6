-- Question: do viewers come back, by the day they first came?
-- Reads: impressions
-- Writes: none
-- Grain: one row per (day of the first page, days later)
-- Parameters: days = 14 (days back from now), feed = '' (record key of a feed; '' for all)
-- Units: days are UTC; share is of the viewers who first came that day; partial: the day is not over
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH daily AS (
  SELECT DISTINCT viewer_did, served_at::DATE AS day
  FROM impressions
  WHERE served_at <= make_timestamp(getvariable('now_us')) AND getvariable('of_feed') IN ('', feed)
), cohorts AS (
  SELECT viewer_did, day, min(day) OVER (PARTITION BY viewer_did) AS first_day
  FROM daily
)
SELECT
  first_day, day - first_day AS days_later, count(*) AS viewers,
  count(*) / max(count(*)) OVER (PARTITION BY first_day)::DOUBLE AS share,
  is_partial(false, day + INTERVAL 1 DAY) AS partial
FROM cohorts
WHERE first_day > make_timestamp(hours_ago(24 * coalesce(getvariable('days'), 14)))::DATE
GROUP BY first_day, day
ORDER BY first_day, days_later;
