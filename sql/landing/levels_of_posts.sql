-- Question: from whom do labels withhold some posts?
-- Reads: labels
-- Writes: none
-- Grain: one row per post of those given
-- Parameters: :subjects (JSON array of [rkey, actor id])
-- Units: level 0 where nothing is said
SELECT s.value ->> 0, s.value ->> 1, coalesce(max(l.level), 0)
FROM json_each(:subjects) AS s
LEFT JOIN labels AS l ON l.rkey = s.value ->> 0 AND l.actor_id = s.value ->> 1
GROUP BY s.key;
