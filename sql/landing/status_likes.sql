-- Question: how many likes were reported of each open day?
-- Reads: like_days, watermark
-- Writes: none
-- Grain: one row per day near the stream's time
-- Parameters: none
-- Units: day is in days since 1970
SELECT l.day, l.likes
FROM like_days AS l
CROSS JOIN watermark AS w
WHERE l.day BETWEEN w.low_us / 86400000000 - 2 AND w.seen_us / 86400000000 + 1
ORDER BY l.day
