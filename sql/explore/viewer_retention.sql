-- Question: do viewers come back, by the week they first came?
-- Reads: impressions
-- Writes: none
-- Grain: one row per (week of the first page, weeks later)
-- Parameters: weeks = 8 (weeks back from now), feed = '' (record key of a feed; '' for all)
-- Units: weeks begin on Monday, UTC; share is of the cohort's viewers; partial: the week is not over
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH weekly AS (
  SELECT DISTINCT viewer_did, date_trunc('week', served_at)::DATE AS week
  FROM impressions
  WHERE served_at <= make_timestamp(getvariable('now_us'))
    AND getvariable('of_feed') IN ('', feed)
), cohorts AS (
  SELECT viewer_did, week, min(week) OVER (PARTITION BY viewer_did) AS first_week
  FROM weekly
)
SELECT
  first_week, ((week - first_week) // 7)::BIGINT AS weeks_later, count(*) AS viewers,
  count(*) / max(count(*)) OVER (PARTITION BY first_week)::DOUBLE AS share,
  is_partial(false, week + INTERVAL 7 DAY) AS partial
FROM cohorts
WHERE first_week > make_timestamp(hours_ago(168 * coalesce(getvariable('weeks'), 8)))::DATE
GROUP BY first_week, week
ORDER BY first_week, weeks_later;
