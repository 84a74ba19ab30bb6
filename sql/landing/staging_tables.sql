-- Question: where are one batch's events before they are merged in one transaction?
-- Reads: none
-- Writes: staged_likes, staged_unlikes, staged_posts, staged_deletions
-- Grain: one row per event, in any order
-- Parameters: none
-- Units: as in 0001_schema.sql
CREATE TEMP TABLE IF NOT EXISTS staged_likes (day, liker_id, rkey, author_id, post_rkey, seen_us, rev);
CREATE TEMP TABLE IF NOT EXISTS staged_unlikes (liker_id, rkey, seen_us, rev);
CREATE TEMP TABLE IF NOT EXISTS staged_posts (author_id, rkey, created_us, seen_us, flags, langs, rev);
CREATE TEMP TABLE IF NOT EXISTS staged_deletions (author_id, rkey, rev);
