"""The errors a person at the command line can act on.

``cli.main`` prints a PipelineError as one line and exits 1; any other exception is a defect and keeps its
traceback. Malformed data from the network raises none of these: it is dropped and counted by reason.

    PipelineError
    ├── SettingError    a setting that is unknown, malformed or missing
    ├── StoreError      a store that can't be opened, is locked, or breaks its own rules
    └── BatchError      a run whose input or result fails its checks
"""


class PipelineError(Exception):
    """Something is wrong that the operator can mend; the text says what, and what to do."""


class SettingError(PipelineError):
    """A setting is unknown, malformed or missing."""


class StoreError(PipelineError):
    """A store can't be opened, is in use by another process, or breaks its own rules."""


class BatchError(PipelineError):
    """A batch run's input or result fails its checks; nothing was published."""
