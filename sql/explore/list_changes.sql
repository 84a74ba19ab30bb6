-- Question: what changed in a viewer's list since a day before?
-- Reads: candidates, daily_candidates, stored_daily_lists (which days are kept)
-- Writes: none
-- Grain: one row per post that is in the list now or was then, in the order of now, then in that of then
-- Parameters: viewer (DID), days = 1 (days back; 0: since today's first lists), rows = 30 (of the list, at most 30),
--   feed = '' (record key of a feed; '' for the first)
-- Units: rank_then is the place in the first list of that day (UTC), NULL where the post was not among the first rows;
--   change is 'new', 'up', 'down', 'same' or 'out'; score and source are those of now, for a post that is out of then
SET VARIABLE of_feed = one_feed(getvariable('feed'));
SET VARIABLE viewer_id = actor_number(getvariable('viewer'));
SET VARIABLE then_day = make_timestamp(getvariable('now_us'))::DATE - coalesce(getvariable('days'), 1)::INTEGER;
SET VARIABLE then_day = CASE
  WHEN getvariable('then_day') IN (SELECT day FROM stored_daily_lists WHERE feed = getvariable('of_feed')) THEN getvariable('then_day')
  ELSE error(format('no lists of {} are kept, only those of {}', getvariable('then_day'), (
    SELECT string_agg(DISTINCT day::VARCHAR, ', ' ORDER BY day::VARCHAR)
    FROM stored_daily_lists WHERE feed = getvariable('of_feed')))) END;

WITH now AS (
  SELECT * FROM candidates
  WHERE feed = getvariable('of_feed') AND viewer_did = getvariable('viewer') AND rank <= least(coalesce(getvariable('rows'), 30), 30)
), former AS (
  SELECT * FROM daily_candidates
  WHERE feed = getvariable('of_feed') AND day = getvariable('then_day') AND viewer_did = getvariable('viewer')
    AND rank <= least(coalesce(getvariable('rows'), 30), 30)
)
SELECT
  now.rank AS rank_now, former.rank AS rank_then,
  CASE
    WHEN former.rank IS NULL THEN 'new' WHEN now.rank IS NULL THEN 'out'
    WHEN now.rank < former.rank THEN 'up' WHEN now.rank > former.rank THEN 'down' ELSE 'same' END AS change,
  post_uri, coalesce(now.source, former.source) AS source, coalesce(now.score, former.score) AS score
FROM now
FULL JOIN former USING (post_uri)
ORDER BY rank_now NULLS LAST, rank_then;
