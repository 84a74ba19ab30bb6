-- Viewers whose account was deleted, and when: for the web app, which purges what they did up to then from
-- activity.sqlite. Kept as long as activity is.
CREATE TABLE departed (
  viewer_did TEXT    PRIMARY KEY,
  deleted_us INTEGER NOT NULL
) WITHOUT ROWID;
