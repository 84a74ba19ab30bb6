"""The lake: closed days of likes as Parquet, one file a day.

``day_files`` writes a file completely or not at all, ``compact`` moves days from landing.sqlite to the lake and removes
old ones, ``rewrite`` removes likes from a day that unlikes undo, ``impressions`` stores days of what viewers were
shown. Leaves to others: where files are (``sql.places``).
"""
