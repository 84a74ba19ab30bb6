-- Question: which days have rows in landing?
-- Reads: like_days. Grain: one day, in days since 1970.
SELECT day FROM like_days
