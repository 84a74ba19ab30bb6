-- Question: which lists have more posts of one author than they may?
-- Reads: lists, list_viewers, candidate_posts, fallbacks
-- Writes: none
-- Grain: one row per (list, author) at fault
-- Parameters: max_per_author, fallback_max_per_author
-- Units: a list is a viewer_id or a language
SELECT s.viewer_id::VARCHAR AS list, p.author_no, count(*) AS posts
FROM lists AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
JOIN list_viewers AS v ON v.viewer_id = s.viewer_id
GROUP BY s.viewer_id, p.author_no
HAVING count(*) > any_value(v.max_per_author)
UNION ALL
SELECT s.language, p.author_no, count(*)
FROM fallbacks AS s
JOIN candidate_posts AS p ON p.post_no = s.post_no
GROUP BY s.language, p.author_no
HAVING count(*) > least(getvariable('max_per_author'), getvariable('fallback_max_per_author'));
