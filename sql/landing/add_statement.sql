-- Question: up to which rev are an actor's earlier words void?
-- Reads: none
-- Writes: statements
-- Grain: one row per (actor, from_rkey)
-- Parameters: :actor, :from_rkey, :rev
-- Units: as in 0002_like_words.sql
INSERT INTO statements (actor_id, from_rkey, rev)
SELECT :actor, :from_rkey, :rev
WHERE NOT EXISTS (
  SELECT 1 FROM statements WHERE actor_id = :actor AND from_rkey <= :from_rkey AND rev >= :rev
)
ON CONFLICT (actor_id, from_rkey) DO UPDATE SET rev = max(rev, excluded.rev)
