-- Question: what is a viewer's taste: which authors do their neighbours like more than everybody does?
-- Reads: neighbours_of, like_records_between, stored_actors
-- Writes: none
-- Grain: one row per author, strongest first
-- Parameters: viewer (DID), hours = 48.0 (hours back from now), min_neighbours = 3 (neighbours who liked the author),
--   rows = 20 (authors shown), feed = '' (record key of a feed; '' for the first)
-- Units: weight = sum of the weights of neighbours who liked the author; lift = the author's share of active
--   neighbours / its share of active likers; active: liked anything in the span. On a large store, choose fewer hours
SET VARIABLE of_feed = one_feed(getvariable('feed'));
SET VARIABLE viewer_id = actor_number(getvariable('viewer'));

WITH near AS (
  SELECT neighbour_id, weight FROM neighbours_of(getvariable('of_feed')) WHERE viewer_id = getvariable('viewer_id')
), active AS (
  SELECT count(*) AS likers, count(n.neighbour_id) AS neighbours
  FROM (
    SELECT DISTINCT liker_id
    FROM like_records_between(hours_ago(coalesce(getvariable('hours'), 48.0)), getvariable('now_us'))) AS l
  LEFT JOIN near AS n ON n.neighbour_id = l.liker_id
), theirs AS (  -- few, so that nobody counts the likers of all the others
  SELECT l.author_id, count(*) AS neighbours, sum(n.weight::DOUBLE) AS weight
  FROM (
    SELECT DISTINCT liker_id, author_id
    FROM like_records_between(hours_ago(coalesce(getvariable('hours'), 48.0)), getvariable('now_us'))
    WHERE liker_id IN (SELECT neighbour_id FROM near)) AS l
  JOIN near AS n ON n.neighbour_id = l.liker_id
  GROUP BY l.author_id
  HAVING count(*) >= coalesce(getvariable('min_neighbours'), 3)
), counted AS (
  SELECT t.author_id, t.neighbours, t.weight, l.likers
  FROM theirs AS t
  JOIN (
    SELECT author_id, count(DISTINCT liker_id) AS likers
    FROM like_records_between(hours_ago(coalesce(getvariable('hours'), 48.0)), getvariable('now_us'))
    WHERE author_id IN (SELECT author_id FROM theirs)
    GROUP BY author_id) AS l ON l.author_id = t.author_id
)
SELECT
  a.did AS author_did, c.neighbours, c.likers, c.weight,
  (c.neighbours / t.neighbours::DOUBLE) / (c.likers / t.likers::DOUBLE) AS lift
FROM counted AS c
CROSS JOIN active AS t
JOIN stored_actors AS a ON a.actor_id = c.author_id
ORDER BY round(c.weight, 9) DESC, author_did
LIMIT coalesce(getvariable('rows'), 20);
