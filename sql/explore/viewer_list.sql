-- Question: what is in a viewer's list now, and where does each post come from?
-- Reads: lists_of, stored_list_posts, stored_actors
-- Writes: none
-- Grain: one row per post, in the order of the list
-- Parameters: viewer (DID), rows = 30 (posts shown), feed = '' (record key of a feed; '' for the first)
-- Units: age_hours is the post's age at the snapshot; co_likers are neighbours who liked it
SET VARIABLE of_feed = one_feed(getvariable('feed'));
SET VARIABLE viewer_id = actor_number(getvariable('viewer'));

SELECT
  l.position AS rank, post_uri(a.did, p.rkey) AS post_uri, source_name(l.source) AS source,
  l.score, l.co_likers, p.likers, (getvariable('now_us') - p.created_us) / 3600000000.0::DOUBLE AS age_hours
FROM lists_of(getvariable('of_feed')) AS l
JOIN stored_list_posts AS p ON p.post_no = l.post_no AND p.generation = l.generation
JOIN stored_actors AS a ON a.actor_id = p.author_id
WHERE l.viewer_id = getvariable('viewer_id') AND l.position <= coalesce(getvariable('rows'), 30)
ORDER BY rank;
