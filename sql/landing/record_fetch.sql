-- Question: when were an actor's likes fetched, and with what outcome?
-- Reads: none
-- Writes: fetched_viewers
-- Grain: one row per DID. Only the reset that the fetch answers stops waiting: another one may have come meanwhile
-- Parameters: :did, :fetched_us, :stream_us, :likes, :outcome (pipeline/store/fetched_likes.py), :commit_no (the number of this
--   commit), :reset_no (the reset that the fetch answers),
--   :host (of the repository), :retry_us (how long it wants to be left alone)
-- Units: microseconds since 1970 (UTC): fetched_us of this machine's clock, stream_us of the stream's
INSERT INTO fetched_viewers (did, fetched_us, stream_us, likes, outcome, commit_no, host, retry_us)
VALUES (:did, :fetched_us, :stream_us, :likes, :outcome, :commit_no, :host, :retry_us)
ON CONFLICT (did) DO UPDATE
SET fetched_us = excluded.fetched_us, stream_us = excluded.stream_us, likes = excluded.likes, outcome = excluded.outcome,
    commit_no = excluded.commit_no, host = excluded.host, retry_us = excluded.retry_us,
    reset_no = iif(reset_no = :reset_no, 0, reset_no)
