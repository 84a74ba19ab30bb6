-- Question: what are the neighbours of some viewers, worked out now or kept?
-- Reads: former_neighbours, kept_viewers, fresh_neighbours
-- Writes: nothing; returns the rows
-- Grain: one row a (viewer, neighbour)
-- Parameters: none
-- Units: the viewers from $first to $last, by viewer and rank

SELECT f.viewer_id, f.neighbour_id, f.weight, f.rank, f.snapshot_us, f.left_out
FROM former_neighbours AS f
SEMI JOIN kept_viewers AS k ON k.viewer_id = f.viewer_id
WHERE f.viewer_id BETWEEN $first AND $last
UNION ALL
SELECT viewer_id, neighbour_id, weight, rank, snapshot_us, left_out
FROM fresh_neighbours
WHERE viewer_id BETWEEN $first AND $last
ORDER BY viewer_id, rank;
