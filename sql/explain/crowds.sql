-- Question: what does the viewer's crowd recommend, and with what share?
-- Reads: stored_crowds, candidate_posts, list_viewers
-- Writes: crowds
-- Grain: one row per post, for the viewer's language
-- Parameters: none
-- Units: share as the batch wrote it, from everybody's likes; expected = the part of the next hours' likes that the
--   forecast gave it, NULL without one; idle_hours since its last like
-- Columns: language, post_no, share, expected, idle_hours
CREATE OR REPLACE TABLE crowds AS
SELECT c.language, p.post_no, c.share, c.expected, c.idle_hours
FROM stored_crowds AS c
JOIN candidate_posts AS p ON p.author_id = c.author_id AND p.rkey = c.rkey
SEMI JOIN list_viewers AS v ON v.language = c.language;
