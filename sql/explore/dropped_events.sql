-- Question: what of the stream was left out, and why?
-- Reads: counters
-- Grain: one row a reason, commonest first
-- Parameters: none
-- Units: events since the store was made; share is of all that was counted as kept or left out

SELECT
  name AS reason, value AS events,
  value / (SELECT sum(value) FROM counters WHERE kind IN ('event', 'drop'))::DOUBLE AS share
FROM counters
WHERE kind = 'drop'
ORDER BY events DESC, reason;
