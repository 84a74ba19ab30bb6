-- Question: who has liked anything?
-- Reads: likes
-- Writes: users
-- Grain: one row per liker
-- Parameters: none
-- Units: user_no counts from 0 by liker_id
-- Columns: user_no, liker_id
CREATE OR REPLACE TABLE users AS
SELECT (row_number() OVER (ORDER BY liker_id) - 1)::INTEGER AS user_no, liker_id
FROM (SELECT DISTINCT liker_id FROM likes);
