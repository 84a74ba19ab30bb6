-- Question: which generations does neither a reader nor a remaining list need?
-- Reads: lists, fallbacks
-- Writes: generations
-- Grain: one row per generation
-- Parameters: :oldest_kept
-- Units: generations
DELETE FROM generations
WHERE generation < :oldest_kept
  AND NOT EXISTS (SELECT 1 FROM lists WHERE lists.generation = generations.generation)
  AND NOT EXISTS (SELECT 1 FROM fallbacks WHERE fallbacks.generation = generations.generation);
