"""The process in which an analyst's SQL runs: it has no right to write the stores, nor to read secrets.

Owns: starting it (``outside``), what it may do (``limits``, ``landlock``), its work (``inside``) and its shell
(``shell``). Leaves to others: DuckDB and what a statement may be (``explore.session``, ``explore.statements``).

Three walls stand one behind the other. A statement that writes is refused by its syntax tree. DuckDB opens nothing but
analysts' copies. Linux lets the process write nowhere but in its own temporary folder. The rows leave by one open file,
which the process outside made.
"""
