-- Question: which host has a viewer's repository, and how long does it want to be left alone?
-- Reads: none
-- Writes: fetched_viewers
-- Grain: as in 0001_schema.sql
-- Parameters: none
-- Units: microseconds from stream_us on

-- host is a name and a port, empty when none is known. retry_us is 0 when it wanted no patience.
ALTER TABLE fetched_viewers ADD COLUMN host TEXT NOT NULL DEFAULT '';
ALTER TABLE fetched_viewers ADD COLUMN retry_us INTEGER NOT NULL DEFAULT 0;
