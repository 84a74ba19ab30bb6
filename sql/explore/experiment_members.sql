-- Question: who is in which variant of an experiment, whether they have seen the feed or not?
-- Reads: stored_lists, stored_variants, stored_own_settings, stored_actors
-- Writes: none
-- Grain: one row per person with a list of a feed that has an experiment, by variant and DID
-- Parameters: variant = '' (EXPERIMENT/VARIANT; '' for all), rows = 1000 (people shown), feed = '' (record key of a
--   feed; '' for all)
-- Units: number is the person's in the experiment, from 0 up to 1; who has own_settings is in no experiment, and their
--   list is made with the control's parameters
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH people AS (
  SELECT DISTINCT feed, viewer_id FROM stored_lists WHERE position = 1 AND getvariable('of_feed') IN ('', feed)
), placed AS (
  SELECT
    p.feed, v.experiment || '/' || v.name AS variant, a.did AS viewer_did,
    variant_number(v.experiment, a.did) AS number, o.viewer_did IS NOT NULL AS own_settings,
    v.name, v.from_share, v.until_share
  FROM people AS p
  JOIN stored_variants AS v ON v.feed = p.feed AND v.experiment <> ''
  JOIN stored_actors AS a ON a.actor_id = p.viewer_id
  LEFT JOIN stored_own_settings AS o ON o.viewer_did = a.did
)
SELECT feed, variant, viewer_did, number, own_settings
FROM placed
WHERE CASE WHEN own_settings THEN name = 'control' ELSE number >= from_share AND number < until_share END
  AND coalesce(getvariable('variant'), '') IN ('', variant)
ORDER BY feed, variant, viewer_did
LIMIT coalesce(getvariable('rows'), 1000);
