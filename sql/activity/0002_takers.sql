-- Question: who takes how much of activity.sqlite, and which viewers are new?
-- Reads: interactions, impression_pages
-- Writes: takers, newest_viewers
-- Grain: given above each table
-- Parameters: none
-- Units: none

-- How many rows of each viewer are kept, so that the biggest takers lose their oldest first. taker is the viewer, or the
-- registrable domain of a did:web. Triggers count; a page counts as many impressions as it has posts.
CREATE TABLE takers (
  viewer_did   TEXT    NOT NULL PRIMARY KEY,
  taker        TEXT    NOT NULL,
  is_known     INTEGER NOT NULL,   -- 1 known, 0 a stranger, as of the last event
  interactions INTEGER NOT NULL,
  impressions  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX takers_by_taker ON takers (is_known, taker);

INSERT INTO takers
SELECT viewer_did, viewer_did, 1, sum(interactions), sum(impressions)
FROM (SELECT viewer_did, 1 AS interactions, 0 AS impressions FROM interactions
      UNION ALL
      SELECT viewer_did, 0, length(sources) FROM impression_pages)
GROUP BY viewer_did;

CREATE TRIGGER interaction_added AFTER INSERT ON interactions BEGIN
  UPDATE takers SET interactions = interactions + 1 WHERE viewer_did = NEW.viewer_did;
END;
CREATE TRIGGER interaction_removed AFTER DELETE ON interactions BEGIN
  UPDATE takers SET interactions = interactions - 1 WHERE viewer_did = OLD.viewer_did;
END;
CREATE TRIGGER page_added AFTER INSERT ON impression_pages BEGIN
  UPDATE takers SET impressions = impressions + length(NEW.sources) WHERE viewer_did = NEW.viewer_did;
END;
CREATE TRIGGER page_removed AFTER DELETE ON impression_pages BEGIN
  UPDATE takers SET impressions = impressions - length(OLD.sources) WHERE viewer_did = OLD.viewer_did;
END;

-- The newest viewer of serving.sqlite at a day's first look, so that it is known later who is new (days since 1970).
CREATE TABLE newest_viewers (
  day       INTEGER NOT NULL PRIMARY KEY,
  viewer_id INTEGER NOT NULL
) WITHOUT ROWID;
