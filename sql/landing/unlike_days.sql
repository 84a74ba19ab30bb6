-- Question: which days have tombstones here? (It takes one index seek per day.)
-- Reads: unlikes
-- Writes: none
-- Grain: one row per day
-- Parameters: none
-- Units: days since 1970
WITH RECURSIVE held (day) AS (
  SELECT min(day) FROM unlikes
  UNION ALL
  SELECT (SELECT min(day) FROM unlikes WHERE unlikes.day > held.day) FROM held WHERE held.day IS NOT NULL
)
SELECT day FROM held WHERE day IS NOT NULL
