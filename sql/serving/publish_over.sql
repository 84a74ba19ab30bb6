-- Question: where does a new list go whose viewer has a row that it can take?
-- Reads: lists
-- Writes: lists, in place: in WAL mode SQLite writes the pages of a deleted row as it does those of a new one
-- Grain: one list
-- Parameters: :feed_id, :viewer_id, :spare the generation of the row that goes, :generation, :items
-- Units: none

UPDATE lists SET generation = :generation, items = :items
WHERE feed_id = :feed_id AND viewer_id = :viewer_id AND generation = :spare;
