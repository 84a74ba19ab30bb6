-- Question: which pages of a span of time are not needed any more?
-- Reads: none
-- Writes: impression_pages
-- Grain: one row per page, the oldest first
-- Parameters: :from_us, :to_us (not included), :rows (how many at most)
-- Units: microseconds since 1970 (UTC)
DELETE FROM impression_pages
WHERE page_id IN (
  SELECT page_id
  FROM impression_pages
  WHERE served_us >= :from_us AND served_us < :to_us
  ORDER BY served_us
  LIMIT :rows
);
