-- Question: how far is each labeler's stream stored, and what does it say?
-- Reads: labelers, label_gaps
-- Writes: none
-- Grain: one row per labeler
-- Parameters: none
-- Units: as in 0005_labels.sql
SELECT
  l.did, l.seq, l.received_us, l.stated_us, l.labels,
  (SELECT count(*) FROM label_gaps AS g WHERE g.labeler_id = l.labeler_id) AS gaps
FROM labelers AS l
ORDER BY l.labeler_id;
