-- Question: which pages are beyond the number that is kept? The oldest are forgotten.
-- Reads, Writes: impression_pages.
-- Parameters: :kept how many page numbers stay, :rows how many go at most.
DELETE FROM impression_pages
WHERE page_id IN (
  SELECT page_id
  FROM impression_pages
  WHERE page_id <= (SELECT max(page_id) FROM impression_pages) - :kept
  ORDER BY page_id
  LIMIT :rows
);
