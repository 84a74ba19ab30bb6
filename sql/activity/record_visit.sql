-- Question: which feeds does a viewer ask for, how often, and since when?
-- Writes: visits.
-- Parameters: :viewer_did, :feed_rkey, :languages two-letter codes ('en,pt'), :pages how many more,
-- :first_us and :last_us microseconds since 1970.
INSERT INTO visits (viewer_did, feed_rkey, languages, pages, first_us, last_us)
VALUES (:viewer_did, :feed_rkey, :languages, :pages, :first_us, :last_us)
ON CONFLICT (viewer_did, feed_rkey) DO UPDATE SET
  languages = CASE excluded.languages WHEN '' THEN languages ELSE excluded.languages END,
  pages = pages + excluded.pages,
  last_us = max(last_us, excluded.last_us);
