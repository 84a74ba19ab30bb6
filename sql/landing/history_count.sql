-- Question: how many likes of these likers do the open days hold, and what was fetched for them?
-- Reads: likes, history_likes. Grain: one liker. Parameters: :likers, a JSON array of actor ids.
-- Neither table is sorted by liker, so this reads all of both.
SELECT liker_id, count(*) AS likes
FROM (SELECT liker_id FROM likes UNION ALL SELECT liker_id FROM history_likes)
WHERE liker_id IN (SELECT value FROM json_each(:likers))
GROUP BY liker_id
