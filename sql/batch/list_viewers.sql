-- Question: who gets a list, in which language is it filled up, which do they read, and by which parameters is it made?
-- Reads: neighbours, actors, visits, own_settings, fresh_likes, candidate_posts
-- Writes: list_viewers
-- Grain: one row per active actor with neighbours who does not pause; in an experiment, per actor of one variant. Whoever
--   set something for themselves is in no experiment: their list is made with the control's
-- Parameters: experiment, from_share, until_share, is_control, reading_share, half_life_hours, popularity_exponent,
--   crowd_weight, left_out_weight, max_neighbours, max_per_author, author_spacing
-- Units: language is a primary subtag: the first of the last visit, else the commonest of the viewer's fresh likes,
--   else ''. reads: the languages of the last visit and those with at least reading_share of the viewer's fresh likes,
--   sorted, with commas between them; '' when nothing is known. The parameters are those that viewers may set for
--   themselves, and the feed's where they did not; nobody has more neighbours than the feed
-- Columns: viewer_id, did, language, reads VARCHAR, half_life_hours, popularity_exponent, crowd_weight, left_out_weight,
--   max_neighbours INTEGER, max_per_author INTEGER, author_spacing INTEGER
CREATE OR REPLACE TABLE list_viewers AS
WITH listed AS (
  SELECT DISTINCT viewer_id FROM neighbours WHERE rank = 1
), requested AS (
  SELECT viewer_did, arg_max(languages, last_us) AS languages FROM visits GROUP BY viewer_did
), counted AS (
  SELECT f.liker_id, unnest(string_split(p.langs, ',')) AS language, count(*) AS likes
  FROM fresh_likes AS f
  SEMI JOIN listed AS n ON n.viewer_id = f.liker_id
  JOIN candidate_posts AS p ON p.post_no = f.post_no
  WHERE p.langs <> ''
  GROUP BY f.liker_id, language
), liked AS (
  SELECT liker_id, language
  FROM counted
  QUALIFY row_number() OVER (PARTITION BY liker_id ORDER BY likes DESC, language) = 1
), read AS (
  SELECT liker_id, list(language) AS languages
  FROM (
    FROM counted
    QUALIFY likes >= getvariable('reading_share') * sum(likes) OVER (PARTITION BY liker_id))
  GROUP BY liker_id
)
SELECT
  n.viewer_id, a.did,
  coalesce(nullif(string_split(v.languages, ',')[1], ''), l.language, '') AS language,
  array_to_string(
    list_sort(list_distinct(list_filter(
      list_concat(string_split(coalesce(v.languages, ''), ','), coalesce(r.languages, [])), lambda code: code <> ''))),
    ',') AS reads,
  coalesce((o.ranking ->> 'half_life_hours')::DOUBLE, getvariable('half_life_hours')) AS half_life_hours,
  coalesce((o.ranking ->> 'popularity_exponent')::DOUBLE, getvariable('popularity_exponent')) AS popularity_exponent,
  coalesce((o.ranking ->> 'crowd_weight')::DOUBLE, getvariable('crowd_weight')) AS crowd_weight,
  coalesce((o.ranking ->> 'left_out_weight')::DOUBLE, getvariable('left_out_weight')) AS left_out_weight,
  least((o.ranking ->> 'max_neighbours')::INTEGER, getvariable('max_neighbours'))::INTEGER AS max_neighbours,
  coalesce((o.ranking ->> 'max_per_author')::INTEGER, getvariable('max_per_author'))::INTEGER AS max_per_author,
  coalesce((o.ranking ->> 'author_spacing')::INTEGER, getvariable('author_spacing'))::INTEGER AS author_spacing
FROM listed AS n
JOIN actors AS a ON a.actor_id = n.viewer_id AND a.status = 0
LEFT JOIN requested AS v ON v.viewer_did = a.did
LEFT JOIN liked AS l ON l.liker_id = n.viewer_id
LEFT JOIN read AS r ON r.liker_id = n.viewer_id
LEFT JOIN own_settings AS o ON o.viewer_did = a.did
WHERE NOT coalesce(o.is_paused, false)
  AND (
    getvariable('experiment') = ''
    OR CASE
      WHEN o.viewer_did IS NOT NULL THEN getvariable('is_control') = 1
      ELSE variant_number(getvariable('experiment'), a.did) >= getvariable('from_share')
        AND variant_number(getvariable('experiment'), a.did) < getvariable('until_share')
    END
  )
ORDER BY n.viewer_id;
