-- Question: whose likes brought each of the first posts into the viewer's list?
-- Reads: shown_posts, fresh_likes, likes, neighbours, actors
-- Writes: none
-- Grain: one row per (post, neighbour who liked it lately), the reasons_shown largest parts of each post
-- Parameters: snapshot_us, reasons_shown
-- Units: part = weight * value, as in contributors.sql; share is of all neighbours' parts of the post; all_ages are the
--   hours since each neighbour's like of the post, the same list on each of its rows
SELECT
  f.post_no, a.did AS neighbour_did,
  n.weight::DOUBLE * f.value AS part,
  n.weight::DOUBLE * f.value / sum(n.weight::DOUBLE * f.value) OVER (PARTITION BY f.post_no) AS share,
  hours_before(l.seen_us) AS like_age_hours,
  list(hours_before(l.seen_us)) OVER (PARTITION BY f.post_no) AS all_ages
FROM shown_posts AS s
JOIN fresh_likes AS f ON f.post_no = s.post_no
JOIN likes AS l ON l.liker_id = f.liker_id AND l.author_id = s.author_id AND l.post_rkey = s.rkey
JOIN neighbours AS n ON n.neighbour_id = f.liker_id
JOIN actors AS a ON a.actor_id = n.neighbour_id
QUALIFY row_number() OVER (PARTITION BY f.post_no ORDER BY part DESC, n.rank) <= getvariable('reasons_shown')
ORDER BY f.post_no, part DESC, n.rank;
