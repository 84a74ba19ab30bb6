-- Question: when were a viewer's likes fetched, and with what outcome?
-- Reads: none
-- Writes: fetched_viewers
-- Grain: one row per viewer
-- Parameters: :did, :fetched_us, :likes, :outcome (pipeline/store/fetched_likes.py)
-- Units: fetched_us is microseconds since 1970 (UTC)
INSERT INTO fetched_viewers (did, fetched_us, likes, outcome)
VALUES (:did, :fetched_us, :likes, :outcome)
ON CONFLICT (did) DO UPDATE
SET fetched_us = excluded.fetched_us, likes = excluded.likes, outcome = excluded.outcome
