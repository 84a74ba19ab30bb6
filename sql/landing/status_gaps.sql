-- Question: which stretches of the stream are missing, newest first?
-- Reads: gaps. Grain: one gap, the last ten.
SELECT from_us, to_us, host, wire, noted_us
FROM gaps
ORDER BY from_us DESC
LIMIT 10
