-- Question: whose neighbours of earlier layers do not count once there is a layer of those who changed?
-- Reads: known_replaced, former_neighbours, unchanged_viewers, carried_neighbours
-- Writes: none
-- Grain: one row per viewer with neighbours in several layers, or with none any more
-- Parameters: $layer (the new one)
-- Units: rows of a viewer in layers before ``layer`` do not count. carried_neighbours are newer ones of viewers who did
--   not change since, which the new layer takes in
-- Columns: viewer_id, layer
SELECT viewer_id, max(layer)::INTEGER AS layer
FROM (
  FROM known_replaced
  UNION ALL
  SELECT DISTINCT n.viewer_id, $layer AS layer
  FROM former_neighbours AS n
  ANTI JOIN unchanged_viewers AS u ON u.viewer_id = n.viewer_id
  WHERE n.rank = 1
  UNION ALL
  SELECT DISTINCT viewer_id, $layer FROM carried_neighbours)
GROUP BY viewer_id
ORDER BY viewer_id;
