"""The lake: closed days of likes as Parquet, one file a day.

``day_files`` says what is in a file and writes it whole or not at all, ``compact`` makes new days of landing.sqlite and
removes old ones, ``rewrite`` takes deleted likes out of a day, ``impressions`` keeps days of what viewers were shown.
Leaves to others: where files are (``sql.places``).
"""
