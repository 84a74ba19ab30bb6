-- Question: which statements about an actor's records does a new one make needless?
-- Reads: none
-- Writes: statements
-- Grain: one row per (actor, from_rkey)
-- Parameters: :actor, :from_rkey, :rev
-- Units: as in 0002_like_words.sql
DELETE FROM statements WHERE actor_id = :actor AND from_rkey >= :from_rkey AND rev <= :rev
