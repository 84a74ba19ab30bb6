-- Question: what did the viewer's neighbours like lately?
-- Reads: recent_records, found_neighbours
-- Writes: own_records
-- Grain: one row per like record of the days that a candidates run reads, added to those of the viewer
-- Parameters: viewer_id
-- Units: seen_us is microseconds since 1970 (UTC)
INSERT INTO own_records
SELECT r.*
FROM recent_records AS r
SEMI JOIN found_neighbours AS n ON n.neighbour_id = r.liker_id
WHERE r.liker_id <> getvariable('viewer_id');
