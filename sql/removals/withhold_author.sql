-- Question: from whom are an author's posts withheld, for one cause?
-- Reads: none
-- Writes: withheld_authors
-- Grain: one row per (author, cause)
-- Parameters: :author_id, :cause, :level, :changed_us
-- Units: as in 0002_withheld.sql
INSERT INTO withheld_authors (author_id, cause, level, changed_us)
VALUES (:author_id, :cause, :level, :changed_us)
ON CONFLICT (author_id, cause) DO UPDATE SET level = excluded.level, changed_us = excluded.changed_us;
