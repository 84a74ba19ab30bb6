-- Question: which fallback lists does no kept generation use? (A generation writes all that its feed has.)
-- Reads: none
-- Writes: fallbacks
-- Grain: one row per list
-- Parameters: :oldest_kept
-- Units: generations
DELETE FROM fallbacks
WHERE EXISTS (
  SELECT 1 FROM fallbacks AS newer
  WHERE newer.feed_id = fallbacks.feed_id
    AND newer.generation > fallbacks.generation
    AND newer.generation <= :oldest_kept);
