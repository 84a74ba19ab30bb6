-- Question: which pages are beyond the number that is kept?
-- Reads: none
-- Writes: impression_pages
-- Grain: one row per page, the oldest first
-- Parameters: :kept (how many page numbers stay), :rows (how many are deleted at most)
-- Units: none
DELETE FROM impression_pages
WHERE page_id IN (
  SELECT page_id
  FROM impression_pages
  WHERE page_id <= (SELECT max(page_id) FROM impression_pages) - :kept
  ORDER BY page_id
  LIMIT :rows
);
