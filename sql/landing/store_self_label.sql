-- Question: from whom does an author withhold all their posts?
-- Reads: none
-- Writes: self_labels
-- Grain: one row per author; the word with the greatest rev counts
-- Parameters: :actor_id, :rev, :level
-- Units: as in 0005_labels.sql
INSERT INTO self_labels (actor_id, rev, level) VALUES (:actor_id, :rev, :level)
ON CONFLICT (actor_id) DO UPDATE SET rev = excluded.rev, level = excluded.level
WHERE excluded.rev > self_labels.rev;
