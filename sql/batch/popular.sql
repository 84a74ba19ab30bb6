-- Question: what is popular now, in all languages and in each, without letting one crowd take the list?
-- Reads: fresh_likes, candidate_posts, crowd_likers
-- Writes: popular
-- Grain: one row per (language, post) that is not withheld as popular, at most fallback_max_per_author per author and list_length
--   per language; '' is all
-- Parameters: fallback_min_posts, fallback_max_per_author, list_length
-- Units: position counts from 1. score = sum over crowds of ln(1 + mass), mass = sum of value * worth: in full while a
--   crowd is small, hardly more once it is large. So many likers of one circle weigh less than as many who agree on
--   nothing else
-- Columns: language, position, post_no, score FLOAT
CREATE OR REPLACE TABLE popular AS
WITH crowds AS (
  SELECT f.post_no, w.crowd, sum(f.value * w.worth) AS mass
  FROM fresh_likes AS f
  JOIN crowd_likers AS w ON w.liker_id = f.liker_id
  GROUP BY f.post_no, w.crowd
), scored AS (
  SELECT post_no, sum(damped(mass))::FLOAT AS score FROM crowds GROUP BY post_no
), languages AS (
  SELECT post_no, '' AS language FROM candidate_posts
  UNION
  SELECT post_no, unnest(string_split(langs, ',')) FROM candidate_posts WHERE langs <> ''
), large AS (
  SELECT language
  FROM languages
  GROUP BY language
  HAVING language = '' OR count(*) >= getvariable('fallback_min_posts')
), capped AS (
  SELECT g.language, s.post_no, s.score
  FROM scored AS s
  JOIN languages AS g ON g.post_no = s.post_no
  SEMI JOIN large AS b ON b.language = g.language
  JOIN candidate_posts AS p ON p.post_no = s.post_no
  WHERE s.score > 0 AND p.level < 2
  QUALIFY row_number() OVER (
    PARTITION BY g.language, p.author_no ORDER BY s.score DESC, s.post_no) <= getvariable('fallback_max_per_author')
)
SELECT
  language,
  row_number() OVER (PARTITION BY language ORDER BY score DESC, post_no)::INTEGER AS position,
  post_no, score
FROM capped
QUALIFY position <= getvariable('list_length')
ORDER BY language, position;
