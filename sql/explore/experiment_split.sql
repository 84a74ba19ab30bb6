-- Question: are viewers split among the variants of an experiment as planned?
-- Reads: stored_lists, stored_variants, stored_own_settings, stored_actors, impressions
-- Writes: none
-- Grain: one row per feed with an experiment and variant, in the order of their numbers
-- Parameters: days = 7.0 (days back from now, for who was shown something), feed = '' (record key of a feed; '' for
--   all)
-- Units: people have a list and no settings of their own; share is of these; surprise is how many standard deviations the
--   share is from what was planned: beyond 3 something else than the number decides who is in the variant. shown
--   are the viewers who were shown a list of it
SET VARIABLE of_feed = any_feed(getvariable('feed'));

WITH people AS (
  SELECT DISTINCT l.feed, a.did
  FROM stored_lists AS l
  JOIN stored_actors AS a ON a.actor_id = l.viewer_id
  ANTI JOIN stored_own_settings AS o ON o.viewer_did = a.did
  WHERE l.position = 1 AND getvariable('of_feed') IN ('', l.feed)
), counted AS (
  SELECT
    v.feed, v.experiment || '/' || v.name AS variant, v.from_share, v.until_share - v.from_share AS planned_share,
    count(p.did) AS people, sum(count(p.did)) OVER (PARTITION BY v.feed) AS everybody
  FROM stored_variants AS v
  LEFT JOIN people AS p
    ON p.feed = v.feed AND variant_number(v.experiment, p.did) >= v.from_share
    AND variant_number(v.experiment, p.did) < v.until_share
  WHERE v.experiment <> '' AND getvariable('of_feed') IN ('', v.feed)
  GROUP BY v.feed, v.experiment, v.name, v.from_share, v.until_share
), shown AS (
  SELECT feed, variant, count(DISTINCT viewer_did) AS viewers
  FROM impressions
  WHERE served_at > make_timestamp(hours_ago(24 * coalesce(getvariable('days'), 7.0)))
    AND served_at <= make_timestamp(getvariable('now_us'))
  GROUP BY feed, variant
)
SELECT
  c.feed, c.variant, c.planned_share, c.people,
  CASE WHEN c.everybody > 0 THEN c.people / c.everybody::DOUBLE END AS share,
  CASE WHEN c.everybody > 0 AND c.planned_share < 1 THEN
    (c.people - c.everybody * c.planned_share)
    / sqrt(c.everybody * c.planned_share * (1 - c.planned_share)) END AS surprise,
  coalesce(s.viewers, 0) AS shown
FROM counted AS c
LEFT JOIN shown AS s ON s.feed = c.feed AND s.variant = c.variant
ORDER BY c.feed, c.from_share;
