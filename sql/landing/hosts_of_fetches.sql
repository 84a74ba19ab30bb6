-- Question: which hosts of repositories answered lately, which did not, and which want to be left alone?
-- Reads: fetched_viewers
-- Writes: none
-- Grain: one row per host
-- Parameters: :since_us
-- Units: microseconds of the stream's clock; is_good: the last fetch succeeded; until retry_us it wants to be left alone
SELECT host, is_good, max(retry_us) OVER (PARTITION BY host) AS retry_us
FROM (
  SELECT
    host, outcome = 'done' AS is_good, iif(retry_us > 0, stream_us + retry_us, 0) AS retry_us,
    row_number() OVER (PARTITION BY host ORDER BY stream_us DESC, fetched_us DESC) AS place
  FROM fetched_viewers
  WHERE stream_us > :since_us AND host <> '' AND outcome NOT IN ('absent', 'enough')
)
WHERE place = 1
