-- Question: which feeds does a viewer request, how often, and since when?
-- Reads: none
-- Writes: visits
-- Grain: one row per (viewer, feed)
-- Parameters: :viewer_did, :feed_rkey, :languages (two letters each, 'en,pt'), :at_us (of a page)
-- Units: microseconds since 1970 (UTC)
INSERT INTO visits (viewer_did, feed_rkey, languages, pages, first_us, last_us)
VALUES (:viewer_did, :feed_rkey, :languages, 1, :at_us, :at_us)
ON CONFLICT (viewer_did, feed_rkey) DO UPDATE SET
  languages = CASE excluded.languages WHEN '' THEN languages ELSE excluded.languages END,
  pages = pages + excluded.pages,
  first_us = min(first_us, excluded.first_us),
  last_us = max(last_us, excluded.last_us);
