-- Question: how many likes does each open day hold?
-- Reads: likes. Grain: one day, in days since 1970.
SELECT day, count(*) AS likes
FROM likes
GROUP BY day
ORDER BY day
