-- Question: what is withheld from lists, by whose wish, since they were made? (removals.sqlite: ingest writes)
-- Reads: none
-- Writes: withheld_posts, withheld_authors
-- Grain: given above each table
-- Parameters: none
-- Units: level and cause as in pipeline/store/model.py; the rest as in 0001_removals.sql

-- Single posts. Each cause has its own row, so that the end of one does not end another.
CREATE TABLE withheld_posts (
  rkey      INTEGER NOT NULL,
  author_id INTEGER NOT NULL,
  cause     INTEGER NOT NULL,
  level     INTEGER NOT NULL,
  PRIMARY KEY (rkey, author_id, cause)
) WITHOUT ROWID;

-- All posts of an author.
CREATE TABLE withheld_authors (
  author_id  INTEGER NOT NULL,
  cause      INTEGER NOT NULL,
  level      INTEGER NOT NULL,
  changed_us INTEGER NOT NULL,
  PRIMARY KEY (author_id, cause)
) WITHOUT ROWID;
CREATE INDEX withheld_authors_by_change ON withheld_authors (changed_us);
