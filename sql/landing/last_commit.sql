-- Question: which commit was the last that reported a word about a like?
-- Reads: last_commit
-- Writes: none
-- Grain: one row
-- Parameters: none
-- Units: a number that counts commits
SELECT commit_no FROM last_commit
