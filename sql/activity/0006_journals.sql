-- Question: how far were the journals of all machines taken in, and what of it must workers learn? (Where several machines serve)
-- Reads: none
-- Writes: journal_positions, changed_viewers, taken_back_posts
-- Grain: given above each table
-- Parameters: none
-- Units: none

-- A file of the shared folder, MACHINE/FILE, and how many of its bytes are in the tables here: both change in one transaction.
CREATE TABLE journal_positions (
  file  TEXT    NOT NULL PRIMARY KEY,
  bytes INTEGER NOT NULL
) WITHOUT ROWID;

-- Viewers who did something on another machine a moment ago: a worker that has them in memory reads them again.
CREATE TABLE changed_viewers (
  viewer_did TEXT    NOT NULL PRIMARY KEY,
  at_us      INTEGER NOT NULL
) WITHOUT ROWID;

-- Answers that viewers took back, since a journal may report an answer after the word that took it back. post_uri is '' for
-- all picks.
CREATE TABLE taken_back_posts (
  viewer_did TEXT    NOT NULL,
  post_uri   TEXT    NOT NULL,
  at_us      INTEGER NOT NULL,
  PRIMARY KEY (viewer_did, post_uri)
) WITHOUT ROWID;
