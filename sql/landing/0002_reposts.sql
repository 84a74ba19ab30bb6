-- Reposts, when FORYOU_REPOSTS is on: who passed on which post, for as long as posts are kept. A row is a repost
-- record; it is live when rev > deleted_rev; a deletion may come alone (rev 0), so that a replay changes nothing.
CREATE TABLE reposts (
  rkey        INTEGER NOT NULL,
  reposter_id INTEGER NOT NULL,
  author_id   INTEGER NOT NULL,
  post_rkey   INTEGER NOT NULL,
  seen_us     INTEGER NOT NULL,
  rev         INTEGER NOT NULL,
  deleted_rev INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (rkey, reposter_id)
) WITHOUT ROWID;

-- Few rkeys are not of the time: those are found by when they were seen.
CREATE INDEX reposts_by_time ON reposts (seen_us);
