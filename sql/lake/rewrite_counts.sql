-- Question: how much of a day in the lake is dead?
-- Reads: day_before (its like records), tombstones, departed
-- Writes: nothing. Grain: one row: records in all, undone ones, ones of deleted accounts
-- Parameters: none
-- Units: _us are microseconds since 1970 (UTC)

SELECT
  count(*) AS records,
  count(*) FILTER (u.rkey IS NOT NULL) AS undone,
  count(*) FILTER (d.actor_id IS NOT NULL) AS departed
FROM day_before AS l
LEFT JOIN tombstones AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us
LEFT JOIN departed AS d ON d.actor_id = l.liker_id AND d.deleted_us >= l.seen_us;
