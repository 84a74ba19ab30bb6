"""``foryou batch`` with ranges of authors so small that a small store has many: RECORD_BYTES, then its arguments."""

import sys

from pipeline.batch.neighbours import like_graph
from pipeline.cli import main

like_graph.RECORD_BYTES = int(sys.argv[1])
sys.exit(main(sys.argv[2:]))
