-- Question: which author no longer withholds their posts?
-- Reads: actors
-- Writes: self_labels
-- Grain: one row, none for an author who never did
-- Parameters: :did, :rev
-- Units: as in 0005_labels.sql
UPDATE self_labels SET rev = :rev, level = 0
WHERE actor_id = (SELECT actor_id FROM actors WHERE did = :did) AND rev < :rev
RETURNING actor_id, level;
