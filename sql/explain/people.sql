-- Question: whose likes does one viewer's list come from?
-- Reads: viewer_neighbours
-- Writes: people
-- Grain: one row an actor: the viewer and their neighbours
-- Parameters: viewer_id
-- Units: none

CREATE OR REPLACE TABLE people AS
SELECT getvariable('viewer_id')::INTEGER AS actor_id
UNION
SELECT neighbour_id FROM viewer_neighbours;
