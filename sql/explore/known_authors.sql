-- Question: how much of the lists is by authors whom their viewer has liked before, and how much by new ones?
-- Reads: lists_of, stored_list_posts, like_records_between
-- Writes: none
-- Grain: one row per source, and one for all
-- Parameters: days = 7.0 (days of likes back from now), places = 30 (only the first places of each list count), feed = ''
--   (record key of a feed; '' for the first)
-- Units: known items are of authors of whom the viewer liked a post in the span; new_authors is the mean number of
--   different authors of a list who are not known. On a large store, choose fewer
--   days
SET VARIABLE of_feed = one_feed(getvariable('feed'));

WITH items AS (
  SELECT l.viewer_id, p.author_id, source_name(l.source) AS source
  FROM lists_of(getvariable('of_feed')) AS l
  JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
  WHERE l.position <= coalesce(getvariable('places'), 30)
), pairs AS (
  SELECT viewer_id, author_id, source, count(*) AS items FROM items GROUP BY viewer_id, author_id, source
), wanted AS (
  SELECT DISTINCT viewer_id, author_id FROM pairs
), known AS (
  SELECT DISTINCT r.liker_id, r.author_id
  FROM like_records_between(hours_ago(24 * coalesce(getvariable('days'), 7.0)), getvariable('now_us')) AS r
  SEMI JOIN wanted AS w ON w.viewer_id = r.liker_id AND w.author_id = r.author_id
), judged AS (
  SELECT p.*, k.liker_id IS NOT NULL AS is_known
  FROM pairs AS p
  LEFT JOIN known AS k ON k.liker_id = p.viewer_id AND k.author_id = p.author_id
), sources AS (
  SELECT 'all' AS source, viewer_id, author_id, is_known, sum(items) AS items FROM judged GROUP BY ALL
  UNION ALL
  SELECT source, viewer_id, author_id, is_known, items FROM judged
)
SELECT
  source, count(DISTINCT viewer_id) AS lists, sum(items)::BIGINT AS items,
  coalesce(sum(items) FILTER (is_known), 0)::BIGINT AS known_items,
  coalesce(sum(items) FILTER (is_known), 0) / sum(items)::DOUBLE AS known_share,
  count(*) FILTER (NOT is_known) / count(DISTINCT viewer_id)::DOUBLE AS new_authors
FROM sources
GROUP BY source
ORDER BY source <> 'all', source;
