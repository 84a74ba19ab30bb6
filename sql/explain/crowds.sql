-- Question: what does the crowd that serves the viewer recommend, and with what share?
-- Reads: stored_crowds, candidate_posts, list_viewers
-- Writes: crowds
-- Grain: as in sql/batch/crowds.sql, for the viewer's language
-- Parameters: none
-- Units: share as the batch wrote it, since it is made of everybody's likes

CREATE OR REPLACE TABLE crowds AS
SELECT c.language, p.post_no, c.share
FROM stored_crowds AS c
JOIN candidate_posts AS p ON p.author_id = c.author_id AND p.rkey = c.rkey
SEMI JOIN list_viewers AS v ON v.language = c.language;
