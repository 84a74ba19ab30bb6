-- Question: how different are the first pages of a generation from one another?
-- Reads: none
-- Writes: generations
-- Grain: as in 0001_schema.sql
-- Parameters: none
-- Units: none

-- What sql/batch/first_pages.sql counts in a sample of the lists of a run for everybody; NULL for other runs.
ALTER TABLE generations ADD COLUMN in_common REAL;
ALTER TABLE generations ADD COLUMN few_likers REAL;
ALTER TABLE generations ADD COLUMN under_hour REAL;
ALTER TABLE generations ADD COLUMN top_authors REAL;
