-- Question: which days have rows in landing? One index seek a day, however many likes it holds.
-- Reads: likes. Grain: one day, in days since 1970.
WITH RECURSIVE held (day) AS (
  SELECT min(day) FROM likes
  UNION ALL
  SELECT (SELECT min(day) FROM likes WHERE likes.day > held.day) FROM held WHERE held.day IS NOT NULL
)
SELECT day FROM held WHERE day IS NOT NULL
