-- Question: what are the neighbours of some viewers, computed now or in an earlier run?
-- Reads: former_neighbours, unchanged_viewers, fresh_neighbours
-- Writes: none
-- Grain: one row per (viewer, neighbour), by viewer and rank
-- Parameters: $first, $last (viewer_id)
-- Units: as in neighbours
SELECT f.viewer_id, f.neighbour_id, f.weight, f.rank, f.snapshot_us, f.left_out
FROM former_neighbours AS f
SEMI JOIN unchanged_viewers AS u ON u.viewer_id = f.viewer_id
WHERE f.viewer_id BETWEEN $first AND $last
UNION ALL
SELECT viewer_id, neighbour_id, weight, rank, snapshot_us, left_out
FROM fresh_neighbours
WHERE viewer_id BETWEEN $first AND $last
ORDER BY viewer_id, rank;
