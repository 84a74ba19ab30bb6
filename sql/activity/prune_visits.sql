-- Question: which viewers have not come for a long time? They are forgotten.
-- Writes: visits.
-- Parameters: :before_us microseconds since 1970.
DELETE FROM visits WHERE last_us < :before_us;
