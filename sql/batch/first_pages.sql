-- Question: how different are first pages from one another, and who and what is on them?
-- Reads: lists, candidate_posts
-- Writes: none
-- Grain: one row; all is NULL without lists
-- Parameters: snapshot_us
-- Units: shares of the first 30 places of lists. in_common: their posts that the list of a random stranger has among its
--   first 30 as well. Every list is one other's stranger; NULL with one list. few_likers: posts with at most five likers.
--   under_hour: posts made in the last hour. top_authors: places of the hundredth of the authors, rounded up, who have
--   most places
WITH viewers AS (
  SELECT viewer_id, row_number() OVER (ORDER BY hash(viewer_id), viewer_id) - 1 AS number, count(*) OVER () AS all_viewers
  FROM lists
  GROUP BY viewer_id
), places AS (
  SELECT v.number, (v.number + 1) % v.all_viewers AS stranger, v.all_viewers, l.post_no
  FROM lists AS l
  JOIN viewers AS v ON v.viewer_id = l.viewer_id
  WHERE l.position <= 30
), authors AS (
  SELECT n, row_number() OVER (ORDER BY n DESC) AS rank, count(*) OVER () AS all_authors
  FROM (SELECT count(*) AS n FROM places JOIN candidate_posts USING (post_no) GROUP BY author_no)
)
SELECT
  count(s.post_no) FILTER (p.all_viewers > 1) / nullif(count(*) FILTER (p.all_viewers > 1), 0)::DOUBLE AS in_common,
  count(*) FILTER (c.likers <= 5) / nullif(count(*), 0)::DOUBLE AS few_likers,
  count(*) FILTER (hours_before(c.created_us) < 1) / nullif(count(*), 0)::DOUBLE AS under_hour,
  (SELECT sum(n) FROM authors WHERE rank <= ceil(all_authors / 100.0::DOUBLE)) / nullif(count(*), 0)::DOUBLE AS top_authors
FROM places AS p
JOIN candidate_posts AS c ON c.post_no = p.post_no
LEFT JOIN places AS s ON s.number = p.stranger AND s.post_no = p.post_no;
