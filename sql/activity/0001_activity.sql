-- What viewers did with the feed: activity.sqlite, written by the web app alone, read by the batch.
-- Times ending in _us are microseconds since 1970 (UTC).

-- A viewer's last event of a kind on a post; a repeated event changes received_us only.
-- event is the lexicon's name without its prefix, for instance 'requestLess' or 'interactionSeen'.
CREATE TABLE interactions (
  viewer_did   TEXT    NOT NULL,
  post_uri     TEXT    NOT NULL,
  event        TEXT    NOT NULL,
  feed_rkey    TEXT    NOT NULL,
  feed_context TEXT    NOT NULL,
  req_id       TEXT    NOT NULL,
  received_us  INTEGER NOT NULL,
  PRIMARY KEY (viewer_did, post_uri, event)
) WITHOUT ROWID;
CREATE INDEX interactions_by_time ON interactions (received_us);

-- Who asked for which feed, so that the batch makes lists for viewers who come, the latest first.
CREATE TABLE visits (
  viewer_did TEXT    NOT NULL,
  feed_rkey  TEXT    NOT NULL,
  languages  TEXT    NOT NULL,   -- the last Accept-Language, as two-letter codes, 'en,pt'
  pages      INTEGER NOT NULL,   -- pages served, polls not counted
  first_us   INTEGER NOT NULL,
  last_us    INTEGER NOT NULL,
  PRIMARY KEY (viewer_did, feed_rkey)
) WITHOUT ROWID;
