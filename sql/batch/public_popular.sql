-- Question: which popular posts may be shown to people who are not signed in?
-- Reads: popular, candidate_posts
-- Writes: public_popular
-- Grain: one row per (language, post) of popular, without posts for signed-in people alone
-- Parameters: none
-- Units: positions are those of popular, so some are missing
-- Columns: language, position, post_no, score FLOAT
CREATE OR REPLACE TABLE public_popular AS
SELECT s.language, s.position, s.post_no, s.score
FROM popular AS s
JOIN candidate_posts AS c ON c.post_no = s.post_no
WHERE c.level = 0
ORDER BY s.language, s.position;
