-- Question: which row does a viewer's new list take? (SQLite in WAL mode writes the pages of a deleted row as it does
--   those of a new one.)
-- Reads: none
-- Writes: lists
-- Grain: one row per list
-- Parameters: :feed_id, :viewer_id, :spare (the row's generation), :generation, :items
-- Units: items as in 0001_schema.sql
UPDATE lists SET generation = :generation, items = :items
WHERE feed_id = :feed_id AND viewer_id = :viewer_id AND generation = :spare;
