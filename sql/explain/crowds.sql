-- Question: what does the viewer's crowd recommend, and with what share?
-- Reads: stored_crowds, candidate_posts, list_viewers
-- Writes: crowds
-- Grain: one row per post, for the viewer's language
-- Parameters: none
-- Units: share as the batch wrote it, from everybody's likes
-- Columns: language, post_no, share
CREATE OR REPLACE TABLE crowds AS
SELECT c.language, p.post_no, c.share
FROM stored_crowds AS c
JOIN candidate_posts AS p ON p.author_id = c.author_id AND p.rkey = c.rkey
SEMI JOIN list_viewers AS v ON v.language = c.language;
