-- Question: how many likes of these likers are stored here, seen or fetched?
-- Reads: likes (whole: it is not sorted by liker)
-- Writes: none
-- Grain: one row per liker
-- Parameters: :likers (JSON array of actor ids)
-- Units: likes
SELECT liker_id, count(*) AS likes
FROM likes
WHERE liker_id IN (SELECT value FROM json_each(:likers))
GROUP BY liker_id
