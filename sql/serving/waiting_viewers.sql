-- Question: which viewers wait for a first list, or for one that knows of their newest likes, answers or picks?
-- Reads: activity.interactions, activity.taken_back, activity.visits, activity.newest_viewers, landing.fetched_viewers,
--   landing.actors, landing.like_words, landing.watermark, waiting_runs, viewers, lists, feeds, runs
-- Writes: none
-- Grain: one row per DID. There are five kinds: the known who answered, or liked something while they have few likes;
--   strangers with few likes whose likes the stream reported; those whose likes were fetched; strangers who answered;
--   those of whom nothing new is known. The kinds take turns, so none fills a run while another waits. Behind all of
--   them are those who scroll and like. Within a kind the last to come is first; of those who answered, whoever has
--   waited longest for a run
-- Parameters: :now_us, :since_us (the earliest visit or answer), :again_us (pause before a viewer for whom no list
--   could be made is tried again), :rows (how many at most), :few (likes: a list of fewer follows what the stream reports),
--   :known_day (who was numbered by that day is known, as in serving/budgets/viewer_classes.py),
--   :open_us (the earliest visit of a viewer whose list does so), :liked_again_us (pause between two lists that do),
--   :liked_us (likes with older keys are not looked for: they are sorted by key), :scrolling_us (the earliest visit of
--   who scrolls now), :scrolled_again_us (pause between two lists of theirs), :rest (how many times as long as the last
--   run took must be over before they are looked for again: their lists take what time newcomers leave)
-- Units: microseconds since 1970 (UTC), by this machine's clock; :liked_us by the stream's, back from its watermark
WITH answered AS (
  SELECT viewer_did, max(received_us) AS received_us
  FROM (
    SELECT viewer_did, received_us
    FROM activity.interactions
    WHERE received_us > :since_us AND event IN ('requestLess', 'requestMore', 'pick')
    UNION ALL
    SELECT viewer_did, received_us
    FROM activity.taken_back
    WHERE received_us > :since_us)
  GROUP BY viewer_did
), last_run AS (
  SELECT run_id FROM runs WHERE tier = 'waiting' ORDER BY run_id DESC LIMIT 1
), resting AS (
  SELECT max(started_us)
  FROM runs
  WHERE run_id = (SELECT run_id FROM last_run) AND tier = 'waiting'
  HAVING max(started_us) + (1 + :rest) * sum(seconds) * 1e6 > :now_us
), followed AS MATERIALIZED (
  -- A run was made for them when they had few likes, none in the case of who opens the feed first and then likes.
  SELECT a.actor_id, t.viewer_did, t.commit_no, true AS is_young
  FROM waiting_runs AS t
  JOIN landing.actors AS a ON a.did = t.viewer_did
  WHERE t.likes < :few
    AND EXISTS (SELECT 1 FROM activity.visits AS v WHERE v.viewer_did = t.viewer_did AND v.last_us > :open_us)
    AND (
      t.began_us < :now_us - :liked_again_us
      OR NOT EXISTS (
        SELECT 1 FROM viewers AS v JOIN lists AS l ON l.viewer_id = v.viewer_id
        WHERE v.did = t.viewer_did AND l.feed_id IN (SELECT feed_id FROM feeds))
    )
  UNION ALL
  SELECT a.actor_id, v.viewer_did, coalesce(t.commit_no, 0), false
  FROM activity.visits AS v
  JOIN landing.actors AS a ON a.did = v.viewer_did
  LEFT JOIN waiting_runs AS t ON t.viewer_did = v.viewer_did
  WHERE v.last_us > :scrolling_us AND coalesce(t.likes, :few) >= :few
    AND coalesce(t.began_us, 0) < :now_us - :scrolled_again_us AND NOT EXISTS (SELECT 1 FROM resting)
), liked AS MATERIALIZED (
  SELECT y.viewer_did, max(w.seen_us) AS seen_us, max(y.is_young) AS is_young
  FROM landing.like_words AS w
  CROSS JOIN followed AS y ON y.actor_id = w.liker_id
  WHERE w.rkey > (
      SELECT iif(EXISTS (SELECT 1 FROM followed), (seen_us - :liked_us) << 10, 9223372036854775807) FROM landing.watermark)
    AND w.commit_no > y.commit_no AND w.author_id IS NOT NULL
  GROUP BY y.viewer_did
), active AS (
  SELECT viewer_did, last_us FROM activity.visits WHERE last_us > :since_us
  UNION ALL
  SELECT viewer_did, received_us FROM answered
  UNION ALL
  SELECT viewer_did, seen_us FROM liked
), seen AS (
  SELECT viewer_did, max(last_us) AS last_us FROM active GROUP BY viewer_did
), newest_known AS (
  SELECT viewer_id FROM activity.newest_viewers WHERE day <= :known_day ORDER BY day DESC LIMIT 1
), waiting AS (
  SELECT
    s.viewer_did, s.last_us, coalesce(t.began_us, 0) AS began_us,
    EXISTS (
      SELECT 1 FROM lists AS l WHERE l.viewer_id = v.viewer_id AND l.feed_id IN (SELECT feed_id FROM feeds)) AS has_list,
    coalesce(v.viewer_id <= coalesce((SELECT viewer_id FROM newest_known), v.viewer_id), 0) AS is_numbered,
    coalesce(k.is_young, 0) AS has_liked, k.viewer_did IS NOT NULL AS is_scrolling,
    coalesce(a.received_us, 0) > coalesce(t.began_us, 0) AS has_answered,
    coalesce(f.fetched_us, 0) > coalesce(t.began_us, 0) AS is_fetched,
    coalesce(f.fetched_us, 0) <= :now_us AS is_past   -- a time to come is wrong
  FROM seen AS s
  LEFT JOIN viewers AS v ON v.did = s.viewer_did
  LEFT JOIN liked AS k ON k.viewer_did = s.viewer_did
  LEFT JOIN waiting_runs AS t ON t.viewer_did = s.viewer_did
  LEFT JOIN answered AS a ON a.viewer_did = s.viewer_did
  LEFT JOIN landing.fetched_viewers AS f ON f.did = s.viewer_did AND f.likes > 0 AND f.outcome <> 'enough'
), kinds AS (
  SELECT
    viewer_did, last_us, began_us,
    CASE
      WHEN has_list AND is_numbered AND (has_liked OR has_answered) THEN 0
      WHEN has_liked THEN 1
      WHEN is_fetched AND is_past THEN 2
      WHEN has_answered THEN 3
      WHEN began_us < :now_us - :again_us AND NOT has_list THEN 4
      WHEN is_scrolling THEN 5
    END AS kind
  FROM waiting
), turns AS (
  SELECT
    viewer_did, kind,
    row_number() OVER (
      PARTITION BY kind ORDER BY iif(kind IN (0, 3), began_us, 0), last_us DESC, viewer_did) AS turn
  FROM kinds
  WHERE kind IS NOT NULL
)
SELECT viewer_did FROM turns ORDER BY kind = 5, turn, kind LIMIT :rows
