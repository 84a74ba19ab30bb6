-- Question: which days of likes are stored, and does any lack likes?
-- Reads: days, gaps
-- Writes: none
-- Grain: one row per closed day, and one (day empty) for the open days together, newest first
-- Parameters: none
-- Units: like_records as stored, with those that an unlike undoes; of_median compares with the closed days' median;
--   gap_hours is how much of the day the stream's gaps cover that no backfill brought since
SELECT
  d.day, d.like_records,
  d.like_records / (SELECT median(like_records) FROM days WHERE day IS NOT NULL)::DOUBLE AS of_median,
  coalesce((
    SELECT sum(
      epoch_us(least(g.to_at, (d.day + INTERVAL 1 DAY)::TIMESTAMP))
      - epoch_us(greatest(g.from_at, d.day::TIMESTAMP))) / 3600000000.0::DOUBLE
    FROM gaps AS g
    WHERE g.healed_at IS NULL AND g.from_at < d.day + INTERVAL 1 DAY AND g.to_at > d.day), 0) AS gap_hours
FROM days AS d
ORDER BY d.day DESC NULLS FIRST;
