-- Question: from whom are the wanted posts withheld, and by which cause?
-- Reads: temp.wanted_posts, labels, self_labels
-- Writes: none
-- Grain: one row per wish about a wanted post or its author, as in sql/landing/withheld.sql
-- Parameters: none
-- Units: as in sql/landing/withheld.sql
SELECT l.actor_id, l.rkey, 1, l.level
FROM temp.wanted_posts AS w
CROSS JOIN labels AS l
WHERE l.rkey = w.post_rkey AND l.actor_id = w.author_id
UNION ALL
SELECT l.actor_id, l.rkey, 1, l.level
FROM (SELECT DISTINCT author_id FROM temp.wanted_posts) AS a
CROSS JOIN labels AS l
WHERE l.rkey IN (-1, -2) AND l.actor_id = a.author_id
UNION ALL
SELECT s.actor_id, -1, 2, s.level
FROM (SELECT DISTINCT author_id FROM temp.wanted_posts) AS a
CROSS JOIN self_labels AS s
WHERE s.actor_id = a.author_id AND s.level > 0
