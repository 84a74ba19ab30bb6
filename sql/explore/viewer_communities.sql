-- Question: to which communities do a viewer's neighbours belong?
-- Reads: neighbours_of, like_records_between, stored_actors
-- Writes: none
-- Grain: one row per community: neighbours whose most liked author is the same, heaviest first
-- Parameters: viewer (DID), hours = 168.0 (hours back from now), rows = 20 (communities shown), feed =
--   '' (record key of a feed; '' for the first)
-- Units: weight = sum of the neighbours' weights; share is of all neighbours' weight; those without a like in the
--   span are the row without an author. On a large store, choose fewer hours
SET VARIABLE of_feed = one_feed(getvariable('feed'));
SET VARIABLE viewer_id = actor_number(getvariable('viewer'));

WITH near AS (
  SELECT neighbour_id, weight::DOUBLE AS weight
  FROM neighbours_of(getvariable('of_feed'))
  WHERE viewer_id = getvariable('viewer_id')
), liked AS (
  SELECT l.liker_id, l.author_id, count(DISTINCT l.post_rkey) AS likes
  FROM like_records_between(hours_ago(coalesce(getvariable('hours'), 168.0)), getvariable('now_us')) AS l
  SEMI JOIN near AS n ON n.neighbour_id = l.liker_id
  GROUP BY l.liker_id, l.author_id
), favourite AS (
  SELECT k.liker_id, a.did AS author_did
  FROM liked AS k
  JOIN stored_actors AS a ON a.actor_id = k.author_id
  QUALIFY row_number() OVER (PARTITION BY k.liker_id ORDER BY k.likes DESC, a.did) = 1
)
SELECT
  f.author_did, count(*) AS neighbours, sum(n.weight) AS weight,
  sum(n.weight) / sum(sum(n.weight)) OVER () AS share
FROM near AS n
LEFT JOIN favourite AS f ON f.liker_id = n.neighbour_id
GROUP BY f.author_did
ORDER BY round(sum(n.weight), 9) DESC, f.author_did
LIMIT coalesce(getvariable('rows'), 20);
