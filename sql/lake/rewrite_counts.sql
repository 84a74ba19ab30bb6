-- Question: how much of a day in the lake would a rewrite remove?
-- Reads: day_before (the day's like records), tombstones, deleted_accounts
-- Writes: none
-- Grain: one row: all records, those that an unlike undoes, those of deleted accounts
-- Parameters: none
-- Units: like records
SELECT
  count(*) AS records,
  count(*) FILTER (u.rkey IS NOT NULL) AS unliked,
  count(*) FILTER (d.actor_id IS NOT NULL) AS of_deleted_accounts
FROM day_before AS l
LEFT JOIN tombstones AS u ON u.liker_id = l.liker_id AND u.rkey = l.rkey AND u.seen_us >= l.seen_us
LEFT JOIN deleted_accounts AS d ON d.actor_id = l.liker_id AND d.deleted_us >= l.seen_us;
