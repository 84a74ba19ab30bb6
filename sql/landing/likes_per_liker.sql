-- Question: how many likes of these likers are stored here, and how many of them did a stream report?
-- Reads: like_words (whole: it is not sorted by liker)
-- Writes: none
-- Grain: one row per liker
-- Parameters: :likers (JSON array of actor ids)
-- Units: likes
SELECT liker_id, count(*) AS likes, sum(marks & 2 = 0) AS streamed
FROM like_words
WHERE author_id IS NOT NULL AND liker_id IN (SELECT value FROM json_each(:likers))
GROUP BY liker_id
