-- Question: which accounts that rules name had no number when it was last looked up?
-- Reads: ruled_accounts, ruled_posts
-- Writes: none
-- Grain: one row per DID
-- Parameters: none
-- Units: none
SELECT did FROM ruled_accounts WHERE author_id IS NULL
UNION
SELECT did FROM ruled_posts WHERE author_id IS NULL;
