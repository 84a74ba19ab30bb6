-- Question: in which languages is a post that lists name, and what is in it?
-- Reads: none
-- Writes: posts
-- Grain: as in 0001_schema.sql
-- Parameters: none
-- Units: none

-- langs: 'en,pt', '' when its author states none. media: 8 pictures, 16 a video, 32 a link card, 64 a quote, added up. NULL: a
-- run of an earlier version wrote the post.
ALTER TABLE posts ADD COLUMN langs TEXT;
ALTER TABLE posts ADD COLUMN media INTEGER;
