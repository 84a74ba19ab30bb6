-- Question: how far is a labeler's stream stored?
-- Reads: none
-- Writes: labelers
-- Grain: one row per labeler
-- Parameters: :labeler_id, :seq, :received_us, :stated_us, :labels, :new_actors (both: how many more)
-- Units: as in 0005_labels.sql
UPDATE labelers
SET
  seq = max(seq, :seq), received_us = :received_us, stated_us = max(stated_us, :stated_us),
  labels = labels + :labels, new_actors = new_actors + :new_actors
WHERE labeler_id = :labeler_id;
