-- Question: of which feed is a generation, and is it of a run for everybody?
-- Reads: none
-- Writes: generations
-- Grain: as in 0001_schema.sql
-- Parameters: none
-- Units: none

-- feed: the record key. everybody: 1 for a run for everybody, 0 for one for some viewers. NULL: a run of an earlier version
-- published the generation.
ALTER TABLE generations ADD COLUMN feed TEXT;
ALTER TABLE generations ADD COLUMN everybody INTEGER;
