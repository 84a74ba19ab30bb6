-- Question: which pages of a span of time are not needed any more? They are forgotten, the oldest first.
-- Reads, Writes: impression_pages.
-- Parameters: :from_us, :to_us microseconds since 1970 (to_us not included), :rows how many at most.
DELETE FROM impression_pages
WHERE page_id IN (
  SELECT page_id
  FROM impression_pages
  WHERE served_us >= :from_us AND served_us < :to_us
  ORDER BY served_us
  LIMIT :rows
);
