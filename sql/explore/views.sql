-- Question: what can analysts select from? The views that every query of this folder reads, for DuckDB 1.5 and 2.
-- Reads: none (but DATA_DIR/explore, the snapshots that the batch leaves; nothing is downloaded)
-- Writes: none (but views, macros and temporary tables of this session)
-- Grain: given above each view; ANALYSTS.md describes every column
-- Parameters: data_dir = 'data' (folder of the stores; set it before this file)
-- Units: _at are UTC timestamps, _us microseconds since 1970 (UTC), _id numbers of actors. now_us is the stream time up
--   to which likes are known: "now" in every query. Everything is from one snapshot, the newest when this file is read.
--   It is kept for ten minutes after the next one is made, so read this file again after a while

SET VARIABLE data_dir = coalesce(getvariable('data_dir'), 'data');
SET VARIABLE snapshot = (
  SELECT getvariable('data_dir') || '/explore/' || folder
  FROM read_parquet(getvariable('data_dir') || '/explore/current.parquet'));
-- The same as a pattern, in which a '[' or '*' of the folder's own name stands for itself.
SET VARIABLE snapshot_pattern = regexp_replace(getvariable('snapshot'), '([*?[])', '[\1]', 'g');
SET VARIABLE now_us = (SELECT snapshot_us FROM read_parquet(getvariable('snapshot') || '/snapshot.parquet'));

-- Likes from this day on are as the last candidates run read them, older ones as the last neighbours run did.
SET VARIABLE recent_us = (
  SELECT getvariable('now_us') - (value * 3600000000)::BIGINT
  FROM read_parquet(getvariable('snapshot') || '/ranking.parquet') WHERE name = 'post_max_age_hours');
SET VARIABLE recent_us = getvariable('recent_us') - getvariable('recent_us') % 86400000000;

-- Stream time some hours before now, in microseconds.
CREATE OR REPLACE MACRO hours_ago(hours) AS
  CASE WHEN hours >= 0 AND hours < 1000000000 THEN getvariable('now_us') - (hours * 3600000000.0)::BIGINT
    ELSE error(format('a span of {} hours back from now: it must be 0 or more', hours)) END;

CREATE OR REPLACE MACRO tid_digit(number, shift) AS
  substr('234567abcdefghijklmnopqrstuvwxyz', ((number >> shift) & 31)::BIGINT + 1, 1);
CREATE OR REPLACE MACRO tid_text(number) AS
  tid_digit(number, 60) || tid_digit(number, 55) || tid_digit(number, 50) || tid_digit(number, 45)
  || tid_digit(number, 40) || tid_digit(number, 35) || tid_digit(number, 30) || tid_digit(number, 25)
  || tid_digit(number, 20) || tid_digit(number, 15) || tid_digit(number, 10) || tid_digit(number, 5)
  || tid_digit(number, 0);
CREATE OR REPLACE MACRO post_uri(author_did, rkey) AS
  'at://' || author_did || '/app.bsky.feed.post/' || tid_text(rkey);
-- The author's DID, and the rkey's number, of an at-uri or of a bsky.app address with a DID in it.
CREATE OR REPLACE MACRO uri_author(uri) AS regexp_extract(uri, '^(at:/|https://bsky\.app/profile)/([^/]+)/', 2);
CREATE OR REPLACE MACRO rkey_digit(tid, place) AS
  (instr('234567abcdefghijklmnopqrstuvwxyz', substr(tid, place, 1)) - 1) << (5 * (13 - place));
CREATE OR REPLACE MACRO rkey_number(tid) AS CASE WHEN tid = '' THEN 0 ELSE
  rkey_digit(tid, 1) + rkey_digit(tid, 2) + rkey_digit(tid, 3) + rkey_digit(tid, 4) + rkey_digit(tid, 5) + rkey_digit(tid, 6)
  + rkey_digit(tid, 7) + rkey_digit(tid, 8) + rkey_digit(tid, 9) + rkey_digit(tid, 10) + rkey_digit(tid, 11)
  + rkey_digit(tid, 12) + rkey_digit(tid, 13) END;
CREATE OR REPLACE MACRO uri_rkey(uri) AS
  rkey_number(regexp_extract(uri, '/(app\.bsky\.feed\.post|post)/([2-7ab][2-7a-z]{12})', 2));

-- Whether an hour, day or week is not whole: it is the first of an answer, in which the span or the store begins, or it
-- ends after now.
CREATE OR REPLACE MACRO is_partial(first, its_end) AS first OR its_end > make_timestamp(getvariable('now_us'));

-- A viewer's number in an experiment, in [0, 1), the same in every run (pipeline/feeds.py has the same).
CREATE OR REPLACE MACRO variant_number(experiment, did) AS
  ('0x' || substr(sha256(experiment || ' ' || did), 1, 8))::BIGINT / 4294967296.0::DOUBLE;

-- The source of a list's item, by its number.
CREATE OR REPLACE MACRO source_name(source) AS
  CASE source WHEN 1 THEN 'co-likers' WHEN 2 THEN 'popular' WHEN 3 THEN 'trial' ELSE 'other' END;

-- Copies as they are stored. stored_ relations name actors by number; those below name them by DID.
CREATE OR REPLACE MACRO copied(name) AS TABLE
SELECT * FROM read_parquet(getvariable('snapshot') || '/' || name || '.parquet');
CREATE OR REPLACE VIEW stored_actors AS FROM copied('inputs/actors');
CREATE OR REPLACE VIEW stored_posts AS FROM copied('inputs/posts');
CREATE OR REPLACE VIEW stored_feeds AS FROM copied('feeds');
CREATE OR REPLACE MACRO of_feeds(name) AS TABLE
SELECT * FROM read_parquet(
  getvariable('snapshot_pattern') || '/' || name || '/*/*.parquet', hive_partitioning = true,
  hive_types = {'feed': 'VARCHAR'}, union_by_name = true);
-- Lists of all feeds, GENERATION-NUMBER.parquet; those of one feed are lists_of(feed).
CREATE OR REPLACE MACRO all_lists() AS TABLE
SELECT
  COLUMNS(lambda c: c NOT IN ('filename', 'generation')),   -- earlier versions wrote the generation into the rows, too
  regexp_extract(filename, '(\d+)-\d+\.parquet$', 1)::INTEGER AS generation
FROM read_parquet(
  getvariable('snapshot_pattern') || '/feed_lists/*/*.parquet', hive_partitioning = true,
  hive_types = {'feed': 'VARCHAR'}, union_by_name = true, filename = true);
CREATE OR REPLACE VIEW stored_lists AS FROM all_lists() SEMI JOIN stored_feeds USING (feed);
CREATE OR REPLACE VIEW stored_list_posts AS FROM of_feeds('feed_list_posts');
-- Neighbours that the lists of all feeds were made from. Each run made a layer of them, LAYER-NUMBER.parquet; those of
-- viewers who were computed since stand for the older.
CREATE OR REPLACE MACRO all_neighbours() AS TABLE
SELECT n.* EXCLUDE (filename, layer)
FROM (
  SELECT *, regexp_extract(filename, '(\d+)-\d+\.parquet$', 1)::INTEGER AS layer
  FROM read_parquet(
    getvariable('snapshot_pattern') || '/feed_neighbours/*/*.parquet', hive_partitioning = true,
    hive_types = {'feed': 'VARCHAR'}, union_by_name = true, filename = true)) AS n
ANTI JOIN of_feeds('feed_replaced_neighbours') AS r
  ON r.feed = n.feed AND r.viewer_id = n.viewer_id AND r.layer > n.layer;
CREATE OR REPLACE VIEW stored_neighbours AS FROM all_neighbours() SEMI JOIN stored_feeds USING (feed);
-- The variants of each feed's experiment, the control last; a row without an experiment where there is none.
CREATE OR REPLACE VIEW stored_variants AS FROM of_feeds('feed_variants') SEMI JOIN stored_feeds USING (feed);
CREATE OR REPLACE VIEW stored_own_settings AS FROM copied('inputs/own_settings');
CREATE OR REPLACE VIEW stored_generations AS FROM copied('generations');
CREATE OR REPLACE VIEW stored_runs AS FROM copied('runs');
CREATE OR REPLACE VIEW stored_counters AS FROM copied('counters');
CREATE OR REPLACE VIEW stored_gaps AS FROM copied('gaps');
CREATE OR REPLACE VIEW stored_streams AS FROM copied('streams');
CREATE OR REPLACE VIEW stored_interactions AS FROM copied('interactions');
CREATE OR REPLACE VIEW stored_visits AS FROM copied('visits');
CREATE OR REPLACE VIEW stored_changes AS
SELECT liker_id, rkey, rev
FROM read_parquet(
  getvariable('snapshot_pattern') || '/changes/*.parquet', hive_partitioning = false, union_by_name = true)
WHERE NOT settled;
CREATE OR REPLACE TEMP TABLE statements AS FROM copied('inputs/statements');
CREATE OR REPLACE VIEW stored_impressions AS
SELECT * FROM read_parquet(
  getvariable('snapshot_pattern') || '/impressions/*.parquet', hive_partitioning = false,
  union_by_name = true);
CREATE OR REPLACE MACRO kept_days(name) AS TABLE
SELECT * EXCLUDE (filename), regexp_extract(filename, 'day=(.{10})\.parquet$', 1)::DATE AS day
FROM read_parquet(
  getvariable('snapshot_pattern') || '/' || name || '/*/*.parquet', hive_partitioning = true,
  hive_types = {'feed': 'VARCHAR'}, filename = true);
CREATE OR REPLACE VIEW stored_daily_lists AS FROM kept_days('daily_lists') SEMI JOIN stored_feeds USING (feed);
CREATE OR REPLACE VIEW stored_daily_posts AS FROM kept_days('daily_posts');

-- The record key of a feed by its name: '' stands for the first feed. A name that is none is an error, as below.
CREATE OR REPLACE MACRO one_feed(name) AS CASE
  WHEN coalesce(name, '') = '' THEN (SELECT feed FROM stored_feeds WHERE place = 1)
  WHEN name IN (SELECT feed FROM stored_feeds) THEN name
  ELSE error(format(
    'no feed {}: expected one of {}', name, (SELECT string_agg(feed, ', ' ORDER BY place) FROM stored_feeds))) END;
-- The same for what is of several feeds: '' stands for all of them.
CREATE OR REPLACE MACRO any_feed(name) AS CASE WHEN coalesce(name, '') = '' THEN '' ELSE one_feed(name) END;
CREATE OR REPLACE MACRO lists_of(of_feed) AS TABLE SELECT * FROM all_lists() WHERE feed = of_feed;
CREATE OR REPLACE MACRO neighbours_of(of_feed) AS TABLE SELECT * FROM all_neighbours() WHERE feed = of_feed;

-- The number of an actor by DID, and of a post's author by the post's address. A name that is none is an error, since an
-- empty answer would say that there is nothing.
CREATE OR REPLACE MACRO actor_number(name) AS CASE
  WHEN name IS NULL OR NOT starts_with(name, 'did:') THEN error(format(
    '''{}'' is not a DID (did:plc:…). An account''s handle is not stored: com.atproto.identity.resolveHandle gives its DID', coalesce(name, '')))
  ELSE coalesce(
    (SELECT any_value(actor_id) FROM stored_actors WHERE did = name),
    error(format('{} is not in this store: nobody with this DID liked, was liked or posted', name))) END;
CREATE OR REPLACE MACRO author_number(uri) AS CASE
  WHEN uri IS NULL OR uri_author(uri) = '' OR uri_rkey(uri) = 0 THEN error(format(
    '''{}'' is not a post''s address: expected at://DID/app.bsky.feed.post/RKEY or https://bsky.app/profile/DID/post/RKEY',
    coalesce(uri, '')))
  ELSE actor_number(uri_author(uri)) END;

-- Like records as they are stored. Those of the lake's days include what an unlike or a change removed since their file was written; open
-- ones were there when the snapshot was made. A record of a day that has just closed may come twice. file_day is the
-- last day of which a file may have likes, so that a query opens only the files of its days.
CREATE OR REPLACE VIEW stored_likes AS
SELECT
  liker_id,
  ((post_rkey >> 10) + since_post_us + lag_us) * 1024 + clock AS rkey,
  author_id,
  post_rkey,
  (post_rkey >> 10) + since_post_us AS seen_us,
  CASE
    WHEN filename LIKE '%/open.parquet' THEN DATE '9999-12-31'
    WHEN filename LIKE '%/history.parquet' THEN make_timestamp(getvariable('recent_us'))::DATE - 1
    WHEN filename LIKE '%/day=1969-12-31.parquet' THEN DATE '9999-12-31'  -- keys that name no day
    ELSE try_cast(regexp_extract(filename, 'day=(.{10})\.parquet$', 1) AS DATE) END AS file_day,
  filename NOT LIKE '%/day=%.parquet' AS open
FROM read_parquet(
  getvariable('snapshot_pattern') || '/likes/*.parquet', hive_partitioning = false, filename = true)
WHERE filename NOT LIKE '%/history.parquet' OR (post_rkey >> 10) + since_post_us < getvariable('recent_us');

-- Whose likes and posts do not count, up to when, and which posts are deleted: as in sql/batch/hidden_accounts.sql and
-- deleted_posts.sql. They are tables since they are small: a join then never takes the likes for the smaller side.
CREATE OR REPLACE TEMP TABLE hidden_accounts AS
SELECT actor_id, CASE WHEN status <> 0 THEN 9223372036854775807 ELSE deleted_us END AS hidden_us
FROM stored_actors
WHERE status <> 0 OR deleted_us > 0;
CREATE OR REPLACE TEMP TABLE deleted_posts AS
SELECT author_id, rkey FROM stored_posts WHERE deleted;

-- Changes that undo a record of the files of some days: keys name the days, but those before 2023 (pipeline/store/model.py).
CREATE OR REPLACE MACRO changes_since(from_us) AS TABLE
SELECT liker_id, rkey
FROM stored_changes
WHERE rev >= rkey AND (rkey >= (from_us - from_us % 86400000000) << 10 OR rkey < 19358 * 86400000000 << 10);

-- Like records that count, seen after one time and up to another, by the rules of sql/batch/valid_likes.sql; a liker
-- may have several of a post.
CREATE OR REPLACE MACRO like_records_between(from_us, until_us) AS TABLE
SELECT r.liker_id, r.author_id, r.post_rkey, r.seen_us
FROM stored_likes AS r
ANTI JOIN changes_since(from_us) AS c ON c.liker_id = r.liker_id AND c.rkey = r.rkey AND NOT r.open
ANTI JOIN statements AS s
  ON s.actor_id = r.liker_id AND s.rev > r.rkey AND s.from_rkey <= r.rkey AND NOT r.open
ANTI JOIN hidden_accounts AS a ON a.actor_id = r.liker_id AND a.hidden_us >= r.seen_us
ANTI JOIN hidden_accounts AS b ON b.actor_id = r.author_id AND b.hidden_us >= r.post_rkey >> 10
ANTI JOIN deleted_posts AS d ON d.author_id = r.author_id AND d.rkey = r.post_rkey
WHERE r.file_day >= make_timestamp(from_us)::DATE
  AND r.seen_us > from_us AND r.seen_us <= until_us
  AND r.liker_id <> r.author_id;

-- Likes seen after one time and up to another, by number: distinct (liker, post), the earliest time. On a large store
-- use this with a span, not the view likes.
CREATE OR REPLACE MACRO likes_between(from_us, until_us) AS TABLE
SELECT liker_id, author_id, post_rkey, min(seen_us) AS seen_us
FROM like_records_between(from_us, until_us)
GROUP BY liker_id, author_id, post_rkey;

-- A like that counts: one row per (actor, post).
CREATE OR REPLACE VIEW likes AS
SELECT v.did AS actor_did, post_uri(a.did, l.post_rkey) AS post_uri, make_timestamp(l.seen_us) AS seen_at
FROM likes_between(0, getvariable('now_us')) AS l
JOIN stored_actors AS v ON v.actor_id = l.liker_id
JOIN stored_actors AS a ON a.actor_id = l.author_id;

-- A post of the last days (post_max_age_hours of the ranking), or one known to be deleted.
CREATE OR REPLACE VIEW posts AS
SELECT
  post_uri(a.did, p.rkey) AS post_uri, a.did AS author_did,
  make_timestamp(p.created_us) AS created_at, make_timestamp(p.seen_us) AS seen_at,
  p.deleted,
  p.flags & 1 <> 0 AS reply, p.flags & 2 <> 0 AS adult, p.flags & 4 <> 0 AS hidden,
  p.flags & 8 <> 0 AS images, p.flags & 16 <> 0 AS video, p.flags & 32 <> 0 AS link, p.flags & 64 <> 0 AS quote,
  p.langs
FROM stored_posts AS p
JOIN stored_actors AS a ON a.actor_id = p.author_id;

-- An actor who liked, was liked, or posted.
CREATE OR REPLACE VIEW actors AS
SELECT
  did AS actor_did,
  (['active', 'deactivated', 'takendown', 'suspended', 'deleted', 'inactive'])[status + 1] AS status
FROM stored_actors;

-- An item of a list of a feed's newest run for everybody. Each variant of an experiment has a generation of its own.
CREATE OR REPLACE VIEW candidates AS
SELECT
  l.feed, v.did AS viewer_did, l.position AS rank, post_uri(a.did, p.rkey) AS post_uri, l.score,
  source_name(l.source) AS source,
  l.generation, l.co_likers, make_timestamp(p.created_us) AS created_at
FROM stored_lists AS l
JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
JOIN stored_actors AS v ON v.actor_id = l.viewer_id
JOIN stored_actors AS a ON a.actor_id = p.author_id;

-- An item of the beginning of a list as the first run for everybody of a day made it, for a week.
CREATE OR REPLACE VIEW daily_candidates AS
SELECT
  l.feed, l.day, v.did AS viewer_did, l.position AS rank, post_uri(a.did, p.rkey) AS post_uri, l.score,
  source_name(l.source) AS source, l.generation, l.co_likers, make_timestamp(p.created_us) AS created_at
FROM stored_daily_lists AS l
JOIN stored_daily_posts AS p ON p.feed = l.feed AND p.day = l.day AND p.post_no = l.post_no AND p.generation = l.generation
JOIN stored_actors AS v ON v.actor_id = l.viewer_id
JOIN stored_actors AS a ON a.actor_id = p.author_id;

-- A co-liker who counts for a viewer's list.
CREATE OR REPLACE VIEW neighbours AS
SELECT n.feed, v.did AS viewer_did, o.did AS neighbour_did, n.weight, n.rank
FROM stored_neighbours AS n
JOIN stored_actors AS v ON v.actor_id = n.viewer_id
JOIN stored_actors AS o ON o.actor_id = n.neighbour_id;

-- A generation of lists published in the last 30 days.
CREATE OR REPLACE VIEW generations AS
SELECT
  generation, make_timestamp(snapshot_us) AS snapshot_at, make_timestamp(published_us) AS published_at,
  lists, items, feed::VARCHAR AS feed, everybody::BOOLEAN AS everybody, in_common, few_likers, under_hour, top_authors
FROM stored_generations;

-- A step of a batch run, of the last 30 days.
CREATE OR REPLACE VIEW runs AS
SELECT run_id, job, tier, feed, step, make_timestamp(started_us) AS started_at, seconds, rows, peak_mb, outcome
FROM stored_runs;

-- Events counted since the store was made.
CREATE OR REPLACE VIEW counters AS
SELECT kind, name, value FROM stored_counters;

-- A stretch of the stream that no host could give. healed_at: when a backfill brought it, NULL while it is missing.
CREATE OR REPLACE VIEW gaps AS
SELECT make_timestamp(from_us) AS from_at, make_timestamp(to_us) AS to_at, host, wire,
  make_timestamp(noted_us) AS noted_at, CASE WHEN healed_us <> 0 THEN make_timestamp(healed_us) END AS healed_at
FROM stored_gaps;

-- How far each host's stream is stored.
CREATE OR REPLACE VIEW streams AS
SELECT host, wire, make_timestamp(event_us) AS event_at, make_timestamp(committed_us) AS committed_at,
  events_per_second
FROM stored_streams;

-- A file of like records: a closed day, or (day NULL) all open days together.
CREATE OR REPLACE VIEW days AS
WITH closed AS (
  SELECT
    try_cast(regexp_extract(file_name, 'day=(.{10})\.parquet$', 1) AS DATE) AS day, num_rows AS like_records
  FROM parquet_file_metadata(getvariable('snapshot_pattern') || '/likes/*.parquet')
  WHERE file_name LIKE '%/day=%.parquet'
)
SELECT day, like_records FROM closed
UNION ALL
SELECT NULL, count(*)
FROM stored_likes
WHERE file_day = DATE '9999-12-31'
  AND seen_us >= coalesce((SELECT epoch_us(max(day) + INTERVAL 1 DAY) FROM closed), 0);

-- A viewer's last event of a kind on a post.
CREATE OR REPLACE VIEW interactions AS
SELECT viewer_did, post_uri, event, feed_rkey AS feed, make_timestamp(received_us) AS received_at
FROM stored_interactions;

-- A viewer who opened a feed.
CREATE OR REPLACE VIEW visits AS
SELECT viewer_did, feed_rkey AS feed, languages, pages, make_timestamp(first_us) AS first_at,
  make_timestamp(last_us) AS last_at
FROM stored_visits;

-- A post on a page that was served to a viewer.
CREATE OR REPLACE VIEW impressions AS
SELECT
  viewer_did, post_uri, position AS rank,
  source_name(source) AS source,
  feed_rkey AS feed, generation, make_timestamp(served_us) AS served_at, variant
FROM stored_impressions;

-- How many independent trials a rate is worth that some people made together, each with n trials of which k succeeded:
-- n where everybody has the same rate, fewer where people differ, one a person where all or none succeeded. NULL for
-- one person, of whom nothing follows for others.
CREATE OR REPLACE MACRO trials_of(k, n, kk, kn, nn, people) AS CASE
  WHEN people < 2 THEN NULL
  WHEN k = 0 OR k = n THEN people::DOUBLE
  ELSE (k / n::DOUBLE) * (1 - k / n::DOUBLE) / greatest(
    (kk - 2 * (k / n::DOUBLE) * kn + pow(k / n::DOUBLE, 2) * nn) * people / (people - 1) / pow(n, 2),
    (k / n::DOUBLE) * (1 - k / n::DOUBLE) / n) END;
-- The bounds of a rate at 95 % confidence, of so many independent trials (Wilson): never outside 0 and 1, never of width
-- 0.
CREATE OR REPLACE MACRO wilson_low(rate, n) AS CASE WHEN n > 0 THEN greatest(
  (rate + 1.9208 / n - 1.96 * sqrt(rate * (1 - rate) / n + 0.9604 / pow(n, 2))) / (1 + 3.8416 / n), 0) END;
CREATE OR REPLACE MACRO wilson_high(rate, n) AS CASE WHEN n > 0 THEN least(
  (rate + 1.9208 / n + 1.96 * sqrt(rate * (1 - rate) / n + 0.9604 / pow(n, 2))) / (1 + 3.8416 / n), 1) END;

-- How far a change with this variance of its estimate may be from the truth, at 95 % confidence however often somebody looks
-- while viewers come: the mixture sequential probability ratio test, tightest where the change is as large as effect.
CREATE OR REPLACE MACRO safe_margin(variance, effect) AS CASE WHEN variance > 0 AND effect <> 0 THEN sqrt(
  variance * (variance + pow(effect, 2)) / pow(effect, 2) * ln((variance + pow(effect, 2)) / (variance * 0.0025))) END;

-- The first time each feed served each post to each viewer after one time and up to another. of_feed is a record key; ''
-- takes all feeds: what two feeds served counts in each.
CREATE OR REPLACE MACRO first_impressions(from_us, until_us, of_feed) AS TABLE
SELECT viewer_did, post_uri, min(served_us) AS served_us, arg_min(position, served_us) AS position,
  arg_min(source, served_us) AS source, arg_min(variant, served_us) AS variant, feed_rkey AS feed
FROM stored_impressions
WHERE served_us > from_us AND served_us <= until_us AND of_feed IN ('', feed_rkey)
GROUP BY feed_rkey, viewer_did, post_uri;

-- Whether a viewer answered a post in a feed with "show less" or "show more".
CREATE OR REPLACE MACRO answers_in(of_feed) AS TABLE
SELECT
  feed_rkey AS feed, viewer_did, post_uri, bool_or(event = 'requestLess') AS less,
  bool_or(event = 'requestMore') AS more
FROM stored_interactions
WHERE of_feed IN ('', feed_rkey)
GROUP BY feed_rkey, viewer_did, post_uri;

-- The first impressions of a span, and what the viewers did with them: liked the post within some hours, or answered with
-- "show less" or "show more" at any time since. ripe: these hours are over, so that no like can come any more that counts.
-- Only ripe ones belong in a rate of likes.
CREATE OR REPLACE MACRO outcomes_between(from_us, until_us, within_hours, of_feed) AS TABLE
WITH first AS (
  SELECT * FROM first_impressions(from_us, until_us, of_feed)
), served AS (  -- addresses are cut once a post, not once an impression
  SELECT u.post_uri, a.actor_id AS author_id, uri_rkey(u.post_uri) AS rkey
  FROM (SELECT DISTINCT post_uri FROM first) AS u
  LEFT JOIN stored_actors AS a ON a.did = uri_author(u.post_uri)
), numbered AS MATERIALIZED (
  SELECT f.*, v.actor_id AS viewer_id, s.author_id, s.rkey
  FROM first AS f
  JOIN served AS s ON s.post_uri = f.post_uri
  LEFT JOIN stored_actors AS v ON v.did = f.viewer_did
), liked AS MATERIALIZED (
  -- The few records of served posts, before they are judged as in like_records_between.
  SELECT r.liker_id, r.rkey, r.author_id, r.post_rkey, r.seen_us, r.open
  FROM stored_likes AS r
  JOIN numbered AS n ON n.viewer_id = r.liker_id AND n.author_id = r.author_id AND n.rkey = r.post_rkey
  WHERE r.file_day >= make_timestamp(from_us)::DATE
    AND r.seen_us > from_us AND r.seen_us <= getvariable('now_us') AND r.liker_id <> r.author_id
), counted AS (
  SELECT r.liker_id, r.author_id, r.post_rkey, min(r.seen_us) AS seen_us
  FROM liked AS r
  ANTI JOIN changes_since(from_us) AS c ON c.liker_id = r.liker_id AND c.rkey = r.rkey AND NOT r.open
  ANTI JOIN statements AS s
    ON s.actor_id = r.liker_id AND s.rev > r.rkey AND s.from_rkey <= r.rkey AND NOT r.open
  ANTI JOIN hidden_accounts AS a ON a.actor_id = r.liker_id AND a.hidden_us >= r.seen_us
  ANTI JOIN hidden_accounts AS b ON b.actor_id = r.author_id AND b.hidden_us >= r.post_rkey >> 10
  ANTI JOIN deleted_posts AS d ON d.author_id = r.author_id AND d.rkey = r.post_rkey
  GROUP BY r.liker_id, r.author_id, r.post_rkey
)
SELECT
  n.viewer_did, n.post_uri, n.author_id, n.rkey, n.feed, n.position,
  source_name(n.source) AS source,
  n.variant, n.served_us, (n.served_us - (n.rkey >> 10)) / 3600000000.0::DOUBLE AS age_hours,
  n.served_us + (within_hours * 3600000000.0)::BIGINT <= getvariable('now_us') AS ripe,
  coalesce(l.seen_us >= n.served_us AND l.seen_us <= n.served_us + (within_hours * 3600000000.0)::BIGINT, false)
    AS liked,
  coalesce(i.less, false) AS less, coalesce(i.more, false) AS more
FROM numbered AS n
LEFT JOIN counted AS l ON l.liker_id = n.viewer_id AND l.author_id = n.author_id AND l.post_rkey = n.rkey
LEFT JOIN answers_in(of_feed) AS i ON i.feed = n.feed AND i.viewer_did = n.viewer_did AND i.post_uri = n.post_uri;

-- What each view and column is, for programs that show it (duckdb_views(), duckdb_columns()). ANALYSTS.md has the same
-- texts; a test compares them.

COMMENT ON VIEW likes IS 'One row per (actor, post): a like, the earliest if there were several. As in the ranking, these are left out: likes that an unlike undoes, likes by or of accounts that are not active, likes of deleted posts, and likes of one''s own posts.';
COMMENT ON COLUMN likes.actor_did IS 'who liked';
COMMENT ON COLUMN likes.post_uri IS 'at-uri of the post';
COMMENT ON COLUMN likes.seen_at IS 'when the stream showed the like';
COMMENT ON VIEW posts IS 'One row per post that was created within the ranking''s `post_max_age_hours` (336), or that is known to be deleted.';
COMMENT ON COLUMN posts.post_uri IS 'at-uri';
COMMENT ON COLUMN posts.author_did IS 'who wrote it';
COMMENT ON COLUMN posts.created_at IS 'the author''s claim, never later than seen_at';
COMMENT ON COLUMN posts.seen_at IS 'when the stream showed it';
COMMENT ON COLUMN posts.deleted IS 'deleted by now';
COMMENT ON COLUMN posts.reply IS 'answers another post';
COMMENT ON COLUMN posts.adult IS 'its author labelled it as adult content';
COMMENT ON COLUMN posts.hidden IS 'has the label !hide or !no-promote';
COMMENT ON COLUMN posts.images IS 'has images';
COMMENT ON COLUMN posts.video IS 'has a video';
COMMENT ON COLUMN posts.link IS 'has a link card';
COMMENT ON COLUMN posts.quote IS 'quotes a post';
COMMENT ON COLUMN posts.langs IS 'two-letter codes, ''en,pt''; '''' for none';
COMMENT ON VIEW actors IS 'One row per DID that liked, was liked or posted.';
COMMENT ON COLUMN actors.actor_did IS 'the DID';
COMMENT ON COLUMN actors.status IS 'active, deactivated, takendown, suspended, deleted, inactive';
COMMENT ON VIEW candidates IS 'One row per item of a list of the newest run for everybody of each feed. In an experiment each variant has a generation of its own, so count lists over all of them.';
COMMENT ON COLUMN candidates.feed IS 'record key of the feed';
COMMENT ON COLUMN candidates.viewer_did IS 'whose list';
COMMENT ON COLUMN candidates.rank IS 'place in the list, from 1';
COMMENT ON COLUMN candidates.post_uri IS 'at-uri';
COMMENT ON COLUMN candidates.score IS 'the ranking''s; comparable within one source and list';
COMMENT ON COLUMN candidates.source IS '''co-likers''; ''popular'' where the list was filled up; ''trial'' for a post of co-likers with few likers, moved up to try it';
COMMENT ON COLUMN candidates.generation IS 'number of the generation';
COMMENT ON COLUMN candidates.co_likers IS 'neighbours of the viewer who liked it recently';
COMMENT ON COLUMN candidates.created_at IS 'the post''s creation';
COMMENT ON VIEW daily_candidates IS 'One row per item of the first 30 of a list, as the feed''s first run of the day for everybody made it. Kept for a week.';
COMMENT ON COLUMN daily_candidates.feed IS 'record key of the feed';
COMMENT ON COLUMN daily_candidates.day IS 'the day, in UTC';
COMMENT ON COLUMN daily_candidates.viewer_did IS 'whose list';
COMMENT ON COLUMN daily_candidates.rank IS 'place in the list, from 1';
COMMENT ON COLUMN daily_candidates.post_uri IS 'at-uri';
COMMENT ON COLUMN daily_candidates.score IS 'the ranking''s; comparable within one source and list';
COMMENT ON COLUMN daily_candidates.source IS '''co-likers''; ''popular'' where the list was filled up; ''trial'' for a post of co-likers with few likers, moved up to try it';
COMMENT ON COLUMN daily_candidates.generation IS 'number of the generation';
COMMENT ON COLUMN daily_candidates.co_likers IS 'neighbours of the viewer who liked it recently';
COMMENT ON COLUMN daily_candidates.created_at IS 'the post''s creation';
COMMENT ON VIEW neighbours IS 'One row per (feed, viewer, neighbour), as the feed''s lists were made from them.';
COMMENT ON COLUMN neighbours.feed IS 'record key of the feed';
COMMENT ON COLUMN neighbours.viewer_did IS 'whose neighbour';
COMMENT ON COLUMN neighbours.neighbour_did IS 'who shares taste';
COMMENT ON COLUMN neighbours.weight IS 'the ranking''s; comparable within one viewer';
COMMENT ON COLUMN neighbours.rank IS 'from 1, the closest';
COMMENT ON VIEW generations IS 'One row per publication of the last 30 days.';
COMMENT ON COLUMN generations.generation IS 'its number';
COMMENT ON COLUMN generations.snapshot_at IS 'stream time up to which likes were counted';
COMMENT ON COLUMN generations.published_at IS 'when it became visible';
COMMENT ON COLUMN generations.lists IS 'lists that were new or had changed';
COMMENT ON COLUMN generations.items IS 'posts in those lists';
COMMENT ON COLUMN generations.feed IS 'record key of the feed; NULL when a version before 0.2 published it';
COMMENT ON COLUMN generations.in_common IS 'of a run for everybody: share of the first 30 posts that two strangers have in common';
COMMENT ON COLUMN generations.few_likers IS 'share of the first 30 posts with at most five likers';
COMMENT ON COLUMN generations.under_hour IS 'share of the first 30 posts that were made in the last hour';
COMMENT ON COLUMN generations.top_authors IS 'share of the first 30 places that the hundredth of the authors with most have';
COMMENT ON COLUMN generations.everybody IS 'of a run for everybody, not for some viewers; NULL as feed';
COMMENT ON VIEW impressions IS 'One row per post on a page that was served.';
COMMENT ON COLUMN impressions.viewer_did IS 'to whom';
COMMENT ON COLUMN impressions.post_uri IS 'at-uri';
COMMENT ON COLUMN impressions.rank IS 'place in the list, from 1';
COMMENT ON COLUMN impressions.source IS 'as in candidates';
COMMENT ON COLUMN impressions.feed IS 'record key of the feed';
COMMENT ON COLUMN impressions.generation IS 'number of the generation';
COMMENT ON COLUMN impressions.served_at IS 'when';
COMMENT ON COLUMN impressions.variant IS 'EXPERIMENT/VARIANT whose parameters made the list; '''' outside an experiment, and for fallback lists';
COMMENT ON VIEW interactions IS 'One row per viewer, post and kind of event: the last one.';
COMMENT ON COLUMN interactions.viewer_did IS 'who';
COMMENT ON COLUMN interactions.post_uri IS 'at-uri';
COMMENT ON COLUMN interactions.event IS '''requestLess'', ''requestMore'', ''interactionSeen'' and so on';
COMMENT ON COLUMN interactions.feed IS 'record key of the feed';
COMMENT ON COLUMN interactions.received_at IS 'when';
COMMENT ON VIEW visits IS 'One row per viewer who opened a feed.';
COMMENT ON COLUMN visits.viewer_did IS 'who';
COMMENT ON COLUMN visits.feed IS 'record key of the feed';
COMMENT ON COLUMN visits.languages IS 'of the last request, ''en,pt''';
COMMENT ON COLUMN visits.pages IS 'pages served';
COMMENT ON COLUMN visits.first_at IS 'first page';
COMMENT ON COLUMN visits.last_at IS 'last page';
COMMENT ON VIEW runs IS 'One row per step of a batch run of the last 30 days.';
COMMENT ON COLUMN runs.run_id IS 'number of the run';
COMMENT ON COLUMN runs.job IS 'compact, neighbours, candidates';
COMMENT ON COLUMN runs.tier IS 'whose lists: all, changed, recent, waiting';
COMMENT ON COLUMN runs.feed IS 'record key of the feed; '''' where a step is of all feeds';
COMMENT ON COLUMN runs.step IS 'name of the step';
COMMENT ON COLUMN runs.started_at IS 'when';
COMMENT ON COLUMN runs.seconds IS 'how long';
COMMENT ON COLUMN runs.rows IS 'rows the step made';
COMMENT ON COLUMN runs.peak_mb IS 'the process''s peak resident memory so far, MB';
COMMENT ON COLUMN runs.outcome IS '''done'', or the error message';
COMMENT ON VIEW counters IS 'One row per kind and name of what ingest counted since the store was made.';
COMMENT ON COLUMN counters.kind IS '''event'' kept, ''drop'' left out, ''connection''';
COMMENT ON COLUMN counters.name IS 'what';
COMMENT ON COLUMN counters.value IS 'how many';
COMMENT ON VIEW gaps IS 'One row per part of the stream that no server could send. The days it touches are incomplete until `foryou backfill --gaps` fetches it.';
COMMENT ON COLUMN gaps.from_at IS 'begin';
COMMENT ON COLUMN gaps.to_at IS 'end';
COMMENT ON COLUMN gaps.host IS 'which stream';
COMMENT ON COLUMN gaps.wire IS 'its protocol';
COMMENT ON COLUMN gaps.noted_at IS 'when it was noticed';
COMMENT ON COLUMN gaps.healed_at IS 'when a backfill fetched it; NULL while it is missing';
COMMENT ON VIEW streams IS 'One row per host and wire that ingest has followed.';
COMMENT ON COLUMN streams.host IS 'host and port';
COMMENT ON COLUMN streams.wire IS 'protocol';
COMMENT ON COLUMN streams.event_at IS 'stream time of the last event';
COMMENT ON COLUMN streams.committed_at IS 'when that was stored';
COMMENT ON COLUMN streams.events_per_second IS 'the stream''s rate';
COMMENT ON VIEW days IS 'One row per closed day, and one for all open days together.';
COMMENT ON COLUMN days.day IS 'the day, UTC; empty for the open days';
COMMENT ON COLUMN days.like_records IS 'as stored, also those that were removed since';
