"""The form of log lines, in every process: for people, or one JSON object a line for programs (FORYOU_LOG).

Owns: both forms, and where lines go. Leaves to others: what is logged. Times are UTC, as everywhere in foryou.
"""

import json
import logging
import sys
import time

FORMS = ("text", "json")
CHATTY = ("apscheduler", "websockets", "httpx")  # their own lines of every connection and job


class _Text(logging.Formatter):
    converter = time.gmtime  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%SZ")


class _Json(logging.Formatter):
    converter = time.gmtime  # type: ignore[assignment]

    def format(self, record: logging.LogRecord) -> str:
        stamp = f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z"
        line = {"time": stamp, "level": record.levelname.lower(), "logger": record.name}
        line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_as(form: str) -> None:
    """Log to standard error in one of FORMS from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def say(logger: logging.Logger, level: int, text: str) -> None:
    """Write a line for whoever started the command; where lines are JSON, it is one like the others."""
    if any(isinstance(handler.formatter, _Json) for handler in logging.getLogger().handlers):
        logger.log(level, "%s", text)
    else:
        print(f"foryou: {text}", file=sys.stderr, flush=True)
