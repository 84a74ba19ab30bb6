-- Question: which viewers changed since a moment ago? (Every worker asks twice a second, and old ones are removed as often.)
-- Reads: none
-- Writes: none
-- Grain: none
-- Parameters: none
-- Units: none

CREATE INDEX changed_viewers_by_time ON changed_viewers (at_us);
