-- Question: of which class is a viewer who just did something?
-- Reads: none
-- Writes: takers
-- Grain: one row per viewer
-- Parameters: :viewer_did, :taker (the viewer, or the registrable domain of a did:web), :is_known
-- Units: none
INSERT INTO takers (viewer_did, taker, is_known, interactions, impressions)
VALUES (:viewer_did, :taker, :is_known, 0, 0)
ON CONFLICT (viewer_did) DO UPDATE SET
  taker = excluded.taker,
  is_known = excluded.is_known
WHERE is_known <> excluded.is_known OR taker <> excluded.taker;
