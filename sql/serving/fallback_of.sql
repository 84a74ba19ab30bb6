-- Question: what is popular in a language as of a generation?
-- Reads: feeds, fallbacks. Grain: one row or none.
-- Parameters: :feed record key of the feed, :language two-letter code or '' for all, :generation newest one to
-- consider.
SELECT fallbacks.generation, fallbacks.items
FROM feeds
JOIN fallbacks ON fallbacks.feed_id = feeds.feed_id
  AND fallbacks.language = :language
  AND fallbacks.generation <= :generation
WHERE feeds.rkey = :feed
ORDER BY fallbacks.generation DESC
LIMIT 1;
