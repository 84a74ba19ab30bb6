-- Question: which tombstones of the lake may undo the records that were picked?
-- Reads: lake_records, and the lake's files through lake_unlikes
-- Writes: unlikes. Grain: one tombstone. Parameters: unlike_files, the paths of the files to read

INSERT INTO unlikes
SELECT u.liker_id, u.rkey, u.seen_us
FROM lake_unlikes(getvariable('unlike_files')) AS u
SEMI JOIN lake_records AS l ON l.liker_id = u.liker_id AND l.rkey = u.rkey;
