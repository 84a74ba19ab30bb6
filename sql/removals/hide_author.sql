-- Question: up to which post is an author hidden?
-- Reads: none
-- Writes: hidden_authors
-- Grain: one row per author
-- Parameters: :author_id, :until_rkey, :changed_us
-- Units: as in 0001_removals.sql
INSERT INTO hidden_authors (author_id, until_rkey, changed_us)
VALUES (:author_id, :until_rkey, :changed_us)
ON CONFLICT (author_id) DO UPDATE SET until_rkey = excluded.until_rkey, changed_us = excluded.changed_us;
