"""The lake: closed days of likes as Parquet, two files a day: likes, and changes to them.

``compact`` is the job, ``merge`` brings a day's files up to date, ``day_files`` writes a file completely or not at all,
``held`` keeps files for a reader, ``reader`` has the rule and the relations that readers use, ``impressions`` stores
days of what viewers were shown. Leaves to others: where files are (``sql.places``).
"""
