-- Question: which generations neither a reader nor a remaining list needs?
-- Reads: generations, lists, fallbacks
-- Writes: generations
-- Grain: one generation
-- Parameters: :oldest_kept
-- Units: none

DELETE FROM generations
WHERE generation < :oldest_kept
  AND NOT EXISTS (SELECT 1 FROM lists WHERE lists.generation = generations.generation)
  AND NOT EXISTS (SELECT 1 FROM fallbacks WHERE fallbacks.generation = generations.generation);
