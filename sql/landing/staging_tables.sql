-- Question: where are one batch's events before they are merged in one transaction?
-- Reads: none
-- Writes: staged_words, staged_posts, staged_deletions
-- Grain: one row per event, in any order; a like record that is deleted has no author
-- Parameters: none
-- Units: as in 0001_schema.sql and 0002_like_words.sql
CREATE TEMP TABLE IF NOT EXISTS staged_words (liker_id, rkey, author_id, post_rkey, seen_us, rev, marks);
CREATE TEMP TABLE IF NOT EXISTS staged_posts (author_id, rkey, created_us, seen_us, flags, langs, rev);
CREATE TEMP TABLE IF NOT EXISTS staged_deletions (author_id, rkey, rev);
