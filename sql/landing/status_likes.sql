-- Question: how many likes does each open day hold?
-- Reads: like_days
-- Writes: none
-- Grain: one row per day
-- Parameters: none
-- Units: day is in days since 1970
SELECT day, likes
FROM like_days
ORDER BY day
