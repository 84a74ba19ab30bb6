-- Question: whose number was not given because the network named them?
-- Reads: none
-- Writes: picked_numbers
-- Grain: one row per actor who picked posts to begin with before any stream or archive reported them
-- Parameters: none
-- Units: none
CREATE TABLE picked_numbers (actor_id INTEGER PRIMARY KEY);
