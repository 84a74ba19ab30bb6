-- Question: what is a viewer's taste: which authors do their neighbours like more than everybody does?
-- Reads: stored_neighbours, like_records_between, stored_actors
-- Writes: none
-- Grain: one row per author, strongest first
-- Parameters: viewer (DID), hours = 48.0 (hours back from now), min_neighbours = 3 (neighbours who liked the author),
--   rows = 20 (authors shown)
-- Units: weight = sum of the weights of neighbours who liked the author; lift = the author's share of active
--   neighbours / its share of active likers; active: liked anything in the span. On a large store, choose fewer hours
SET VARIABLE viewer_id = actor_number(getvariable('viewer'));

WITH near AS (
  SELECT neighbour_id, weight FROM stored_neighbours WHERE viewer_id = getvariable('viewer_id')
), liked AS (
  SELECT DISTINCT liker_id, author_id
  FROM like_records_between(hours_ago(coalesce(getvariable('hours'), 48.0)), getvariable('now_us'))
), active AS (
  SELECT count(*) AS likers, count(n.neighbour_id) AS neighbours
  FROM (SELECT DISTINCT liker_id FROM liked) AS l
  LEFT JOIN near AS n ON n.neighbour_id = l.liker_id
), counted AS (
  SELECT
    l.author_id, count(*) AS likers, count(n.neighbour_id) AS neighbours, sum(n.weight::DOUBLE) AS weight
  FROM liked AS l
  LEFT JOIN near AS n ON n.neighbour_id = l.liker_id
  GROUP BY l.author_id
)
SELECT
  a.did AS author_did, c.neighbours, c.likers, c.weight,
  (c.neighbours / t.neighbours::DOUBLE) / (c.likers / t.likers::DOUBLE) AS lift
FROM counted AS c
CROSS JOIN active AS t
JOIN stored_actors AS a ON a.actor_id = c.author_id
WHERE c.neighbours >= coalesce(getvariable('min_neighbours'), 3)
ORDER BY round(c.weight, 9) DESC, author_did
LIMIT coalesce(getvariable('rows'), 20);
