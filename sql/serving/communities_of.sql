-- Question: which communities does a feed have, of some languages?
-- Reads: feeds, communities
-- Writes: none
-- Grain: one row per post, by language, community and place
-- Parameters: :feed (record key), :languages (JSON array, '' for all)
-- Units: none
SELECT c.language, c.community, c.author_id, c.rkey, c.uri
FROM feeds AS f
JOIN communities AS c ON c.feed_id = f.feed_id
WHERE f.rkey = :feed AND c.language IN (SELECT value FROM json_each(:languages))
ORDER BY c.language, c.community, c.place
