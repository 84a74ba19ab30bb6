-- Question: which fallback lists does a part have of a generation?
-- Reads: part.fallbacks
-- Writes: fallbacks
-- Grain: one row per list
-- Parameters: :generation
-- Units: none
INSERT OR REPLACE INTO fallbacks (feed_id, language, generation, items)
SELECT feed_id, language, generation, items
FROM part.fallbacks
WHERE generation = :generation;
