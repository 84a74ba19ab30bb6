-- Question: which lists belong to nobody known, or to an inactive account?
-- Reads: listed_viewers, actors
-- Writes: nothing; returns the offending rows
-- Grain: one row a viewer
-- Parameters: none
-- Units: none

SELECT s.viewer_id
FROM listed_viewers AS s
ANTI JOIN (SELECT actor_id FROM actors WHERE status = 0) AS a ON a.actor_id = s.viewer_id;
