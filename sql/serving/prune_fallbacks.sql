-- Question: which fallback lists does no kept generation use? Every generation writes all it has.
-- Reads: fallbacks
-- Writes: fallbacks
-- Grain: one list
-- Parameters: :oldest_kept
-- Units: none

DELETE FROM fallbacks WHERE generation < :oldest_kept;
