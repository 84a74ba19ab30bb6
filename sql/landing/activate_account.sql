-- Question: which account is active after all, though a host said that it is deactivated?
-- Reads: none
-- Writes: actors
-- Grain: one actor at most. The host that an account left says so, too. The repository was read after that word, and its
--   revision is later; so somebody writes to it. Takedowns and suspensions stay. status_us stays, so an older word from
--   elsewhere changes nothing
-- Parameters: :did, :rev (of the repository, as its host says)
-- Units: 1024 to the microsecond in a TID; status 1 is deactivated (pipeline/store/model.py)
UPDATE actors SET status = 0 WHERE did = :did AND status = 1 AND status_us * 1024 < :rev
