-- Question: whose likes does the viewer's list come from?
-- Reads: viewer_neighbours
-- Writes: people
-- Grain: one row per actor: the viewer and their neighbours
-- Parameters: viewer_id
-- Units: none
-- Columns: actor_id
CREATE OR REPLACE TABLE people AS
SELECT getvariable('viewer_id')::INTEGER AS actor_id
UNION
SELECT neighbour_id FROM viewer_neighbours;
