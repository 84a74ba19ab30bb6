-- Question: which events of the stream were left out, and why?
-- Reads: counters
-- Writes: none
-- Grain: one row per reason, commonest first
-- Parameters: none
-- Units: events since the store was made; share is of all events, stored or left out
SELECT
  name AS reason, value AS events,
  value / (SELECT sum(value) FROM counters WHERE kind IN ('event', 'drop'))::DOUBLE AS share
FROM counters
WHERE kind = 'drop'
ORDER BY events DESC, reason;
