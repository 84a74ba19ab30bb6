-- Question: which lists name a post that their viewer has answered with "show less"?
-- Reads: lists, feedback
-- Writes: none
-- Grain: one row per list entry at fault
-- Parameters: none
-- Units: none
SELECT s.viewer_id, s.position, s.post_no
FROM lists AS s
SEMI JOIN feedback AS f ON f.viewer_id = s.viewer_id AND f.post_no = s.post_no AND f.event = 'requestLess';
