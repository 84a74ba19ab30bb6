-- Question: when were a viewer's likes asked for, and what came of it?
-- Writes: fetched_viewers. Parameters: :did, :fetched_us, :likes, :outcome (pipeline/store/fetched_likes.py).
INSERT INTO fetched_viewers (did, fetched_us, likes, outcome)
VALUES (:did, :fetched_us, :likes, :outcome)
ON CONFLICT (did) DO UPDATE
SET fetched_us = excluded.fetched_us, likes = excluded.likes, outcome = excluded.outcome
