-- Question: what is known of the post asked about that keeps it out of lists?
-- Reads: explained_post, actors, posts, likes, feedback, candidate_posts, exclusions, ruled_accounts, ruled_posts,
--   withheld
-- Writes: none
-- Grain: one row
-- Parameters: viewer_id, snapshot_us
-- Units: ages are hours before the snapshot; NULL where nothing is known
SELECT
  a.did AS author_did, a.status, p.rkey IS NOT NULL AND p.seen_us > 0 AS known,
  coalesce(p.deleted, false) AS deleted,
  coalesce(p.flags & 1 <> 0, false) AS reply,
  coalesce(p.flags & 2 <> 0, false) AS adult,
  coalesce(p.flags & 4 <> 0, false) AS hidden,
  coalesce(r.blocked, o.blocked, p.flags & 256 <> 0, false) AS blocked,
  EXISTS (SELECT 1 FROM withheld AS w WHERE w.author_id = q.author_id AND (w.rkey = q.rkey OR w.rkey < 0)
    AND w.level >= 3 AND (w.cause <> 1 OR coalesce(r.blocked, o.blocked, true))) AS withheld,
  coalesce(p.flags, 0) AS flags,
  hours_before(coalesce(nullif(p.created_us, 0), q.rkey >> 10)) AS age_hours,   -- else by its key
  (SELECT hours_before(max(l.seen_us)) FROM likes AS l
    WHERE l.author_id = q.author_id AND l.post_rkey = q.rkey) AS liked_hours_ago,
  EXISTS (SELECT 1 FROM likes AS l WHERE l.liker_id = getvariable('viewer_id')
    AND l.author_id = q.author_id AND l.post_rkey = q.rkey) AS liked,
  q.author_id = getvariable('viewer_id') AS own,
  EXISTS (SELECT 1 FROM feedback AS f JOIN candidate_posts AS c ON c.post_no = f.post_no
    WHERE f.viewer_id = getvariable('viewer_id') AND f.event = 'requestLess'
    AND c.author_id = q.author_id AND c.rkey = q.rkey) AS show_less,
  EXISTS (SELECT 1 FROM feedback AS f JOIN candidate_posts AS c ON c.post_no = f.post_no
    WHERE f.viewer_id = getvariable('viewer_id') AND f.event = 'pick'
    AND c.author_id = q.author_id AND c.rkey = q.rkey) AS picked,
  EXISTS (SELECT 1 FROM feedback AS f JOIN candidate_posts AS c ON c.post_no = f.post_no
    WHERE f.viewer_id = getvariable('viewer_id') AND f.event = 'interactionSeen'
    AND c.author_id = q.author_id AND c.rkey = q.rkey) AS seen,
  EXISTS (SELECT 1 FROM candidate_posts AS c WHERE c.author_id = q.author_id AND c.rkey = q.rkey) AS candidate,
  EXISTS (SELECT 1 FROM exclusions AS e JOIN candidate_posts AS c ON c.post_no = e.post_no
    WHERE e.viewer_id = getvariable('viewer_id')
    AND c.author_id = q.author_id AND c.rkey = q.rkey) AS excluded
FROM explained_post AS q
JOIN actors AS a ON a.actor_id = q.author_id
LEFT JOIN posts AS p ON p.author_id = q.author_id AND p.rkey = q.rkey
LEFT JOIN ruled_accounts AS o ON o.author_id = q.author_id
LEFT JOIN ruled_posts AS r ON r.author_id = q.author_id AND r.rkey = q.rkey;
