-- Question: how many likes does each open day hold?
-- Reads: like_days. Grain: one day, in days since 1970.
SELECT day, likes
FROM like_days
ORDER BY day
