"""The operator's rules: what no list shows, and what a list shows in spite of others' word.

Owns: the file of rules and the commands that change it (``rule_file``, ``command``), what an operator types
(``typed``), which posts a rule about texts is about (``text_rules``), and bringing all of it into force (``in_force``).
Leaves to others: reading the stream (``ingest``), making lists (``batch``), pages (``serving``).
"""
