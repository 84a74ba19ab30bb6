-- Question: where do one batch's events wait before they are merged in one transaction?
-- Writes: four temporary tables of the connection, in memory. Grain: an event a row, in any order.
CREATE TEMP TABLE IF NOT EXISTS staged_likes (day, liker_id, rkey, author_id, post_rkey, seen_us, rev);
CREATE TEMP TABLE IF NOT EXISTS staged_unlikes (liker_id, rkey, seen_us, rev);
CREATE TEMP TABLE IF NOT EXISTS staged_posts (author_id, rkey, created_us, seen_us, flags, langs, rev);
CREATE TEMP TABLE IF NOT EXISTS staged_deletions (author_id, rkey, rev);
