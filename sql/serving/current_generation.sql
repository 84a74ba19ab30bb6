-- Question: which generation is the newest one published, and when?
-- Reads: generations. Grain: one row, none while nothing is published. Times in microseconds since 1970.
SELECT generation, published_us, snapshot_us, items
FROM generations
ORDER BY generation DESC
LIMIT 1;
