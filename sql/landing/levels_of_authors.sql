-- Question: from whom do labels on accounts and profiles withhold all posts of some authors?
-- Reads: labels
-- Writes: none
-- Grain: one row per author of those given
-- Parameters: :actors (JSON array of actor ids)
-- Units: level 0 where nothing is said
SELECT a.value, coalesce(max(l.level), 0)
FROM json_each(:actors) AS a
LEFT JOIN labels AS l ON l.rkey IN (-1, -2) AND l.actor_id = a.value
GROUP BY a.key;
