-- Question: how many likes did a waiting viewer have in their last run, and which words did it know?
-- Reads: none
-- Writes: waiting_runs
-- Grain: as in 0001_schema.sql
-- Parameters: none
-- Units: likes; commit_no is the number of the last commit of landing.sqlite when the run began

ALTER TABLE waiting_runs ADD COLUMN likes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE waiting_runs ADD COLUMN commit_no INTEGER NOT NULL DEFAULT 0;
