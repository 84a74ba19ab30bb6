-- Question: how many likes of these likers are stored here, seen or fetched?
-- Reads: likes, history_likes (both whole: neither is sorted by liker)
-- Writes: none
-- Grain: one row per liker
-- Parameters: :likers (JSON array of actor ids)
-- Units: likes
SELECT liker_id, count(*) AS likes
FROM (SELECT liker_id FROM likes UNION ALL SELECT liker_id FROM history_likes)
WHERE liker_id IN (SELECT value FROM json_each(:likers))
GROUP BY liker_id
