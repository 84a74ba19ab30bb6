-- Question: what is popular in a language as of a generation?
-- Reads: feeds, fallbacks
-- Writes: none
-- Grain: one row or none
-- Parameters: :feed (record key), :language (two letters, '' for all), :generation (the newest to consider)
-- Units: items as in 0001_schema.sql
SELECT fallbacks.generation, fallbacks.items
FROM feeds
JOIN fallbacks ON fallbacks.feed_id = feeds.feed_id
  AND fallbacks.language = :language
  AND fallbacks.generation <= :generation
WHERE feeds.rkey = :feed
ORDER BY fallbacks.generation DESC
LIMIT 1;
