-- Question: when does what the stream told begin?
-- Reads: began. Grain: one row, or none in a fresh store.
SELECT seen_us AS began_us
FROM began
