-- Question: what does a labeler say of a post or an account?
-- Reads: none
-- Writes: labels
-- Grain: one row per (subject, labeler, value)
-- Parameters: rkey, actor_id, labeler_id, val, level, until_us
-- Units: as in 0005_labels.sql
INSERT INTO labels (rkey, actor_id, labeler_id, val, level, until_us) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (rkey, actor_id, labeler_id, val) DO UPDATE SET level = excluded.level, until_us = excluded.until_us;
