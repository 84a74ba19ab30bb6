-- Question: which formulas do several steps share?
-- Reads: none
-- Writes: hours_before, tid_number, tid_digit, tid_text, post_uri, sample_mix, sample_number, variant_number, newness,
--   damped, post_scale, readable
-- Grain: one macro per formula
-- Parameters: snapshot_us, newcomer_hours, foreign_weight
-- Units: a TID's number is microseconds * 1024 + clock id (pipeline/identifiers.py has the same)

-- Hours from a time to the snapshot.
CREATE OR REPLACE MACRO hours_before(time_us) AS
  (getvariable('snapshot_us') - time_us) / 3600000000.0::DOUBLE;

-- A TID's number; NULL for any other text.
CREATE OR REPLACE MACRO tid_number(tid) AS CASE
  WHEN regexp_full_match(tid, '[2-7a-j][2-7a-z]{12}') THEN
    (instr('234567abcdefghijklmnopqrstuvwxyz', tid[1]) - 1) * 1152921504606846976
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[2]) - 1) * 36028797018963968
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[3]) - 1) * 1125899906842624
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[4]) - 1) * 35184372088832
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[5]) - 1) * 1099511627776
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[6]) - 1) * 34359738368
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[7]) - 1) * 1073741824
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[8]) - 1) * 33554432
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[9]) - 1) * 1048576
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[10]) - 1) * 32768
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[11]) - 1) * 1024
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[12]) - 1) * 32
    + (instr('234567abcdefghijklmnopqrstuvwxyz', tid[13]) - 1)
  END;

CREATE OR REPLACE MACRO tid_digit(number, shift) AS
  substr('234567abcdefghijklmnopqrstuvwxyz', ((number >> shift) & 31)::BIGINT + 1, 1);

-- The TID of a number of 0 or more.
CREATE OR REPLACE MACRO tid_text(number) AS
  tid_digit(number, 60) || tid_digit(number, 55) || tid_digit(number, 50) || tid_digit(number, 45)
  || tid_digit(number, 40) || tid_digit(number, 35) || tid_digit(number, 30) || tid_digit(number, 25)
  || tid_digit(number, 20) || tid_digit(number, 15) || tid_digit(number, 10) || tid_digit(number, 5)
  || tid_digit(number, 0);

CREATE OR REPLACE MACRO post_uri(author_did, rkey) AS
  'at://' || author_did || '/app.bsky.feed.post/' || tid_text(rkey);

-- A number of 0 .. 2^32 - 1 that looks random and depends on the like alone: every run and every engine samples the
-- same likers. The factors keep each product below 2^63.
CREATE OR REPLACE MACRO sample_mix(x) AS xor(x, x >> 15) * 1540483477 % 4294967296;
CREATE OR REPLACE MACRO sample_number(liker_id, post_rkey) AS
  sample_mix((liker_id::BIGINT * 2654435761 + post_rkey % 2147483647) % 4294967296);

-- A viewer's number in an experiment, in [0, 1), the same in every run (pipeline/feeds.py has the same).
CREATE OR REPLACE MACRO variant_number(experiment, did) AS
  ('0x' || substr(sha256(experiment || ' ' || did), 1, 8))::BIGINT / 4294967296.0::DOUBLE;

-- How much a liker counts, by the time of their first like that a stream or an archive reported: from 0 up to 1, in proportion to its age.
CREATE OR REPLACE MACRO newness(first_us) AS CASE
  WHEN getvariable('newcomer_hours') > 0
    THEN least(greatest(hours_before(first_us), 0) / getvariable('newcomer_hours'), 1::DOUBLE)
  ELSE 1::DOUBLE END;

-- How age and popularity scale a post's score, for a viewer with this half-life and this exponent.
CREATE OR REPLACE MACRO post_scale(created_us, likers, half_life_hours, popularity_exponent) AS
  pow(0.5::DOUBLE, greatest(hours_before(created_us), 0) / half_life_hours)
  * pow(likers::DOUBLE, -popularity_exponent);

-- How much a post in these languages counts for who reads those: codes with commas between them, '' for not known.
CREATE OR REPLACE MACRO readable(reads, langs) AS CASE
  WHEN reads = '' OR langs = '' OR list_has_any(string_split(reads, ','), string_split(langs, ',')) THEN 1::DOUBLE
  ELSE getvariable('foreign_weight') END;

-- What a crowd of this mass counts: ln(1 + mass), by its series where 1 + mass would lose the digits.
CREATE OR REPLACE MACRO damped(mass) AS CASE
  WHEN mass < 0.00001 THEN mass - mass * mass / 2
  ELSE ln(1 + mass) END;
