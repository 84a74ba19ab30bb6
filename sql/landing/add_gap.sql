-- Question: which stretch of the stream is missing?
-- Writes: gaps. Parameters: :from_us, :to_us, :host, :wire, :noted_us. A gap inside a known one is no news.
INSERT INTO gaps (from_us, to_us, host, wire, noted_us)
SELECT :from_us, :to_us, :host, :wire, :noted_us
WHERE NOT EXISTS (SELECT 1 FROM gaps WHERE from_us <= :from_us AND to_us >= :to_us)
