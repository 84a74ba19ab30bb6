-- Question: which pages does a taker lose who has too many impressions?
-- Reads: takers
-- Writes: impression_pages
-- Grain: one row per page, the oldest first
-- Parameters: :taker, :is_known, :rows (how many impressions)
-- Units: none
DELETE FROM impression_pages
WHERE page_id IN (
  SELECT page_id
  FROM (SELECT p.page_id, sum(length(p.sources)) OVER (ORDER BY p.page_id) - length(p.sources) AS before
        FROM takers AS t
        CROSS JOIN impression_pages AS p
        WHERE t.taker = :taker AND t.is_known = :is_known AND p.viewer_did = t.viewer_did)
  WHERE before < :rows
);
