-- Question: which lists belong to an unknown actor, or to an inactive account?
-- Reads: listed_viewers, actors
-- Writes: none
-- Grain: one row per viewer at fault
-- Parameters: none
-- Units: none
SELECT s.viewer_id
FROM listed_viewers AS s
ANTI JOIN (SELECT actor_id FROM actors WHERE status = 0) AS a ON a.actor_id = s.viewer_id;
