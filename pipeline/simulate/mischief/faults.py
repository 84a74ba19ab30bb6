"""How the simulated server misbehaves, and when.

Owns: the faults' names, the text that asks for them, counting towards them. Leaves to others: doing them
(``listener``).
"""

from enum import StrEnum

from pipeline.errors import SettingError


class Fault(StrEnum):
    """Something a stream's server does in the field."""

    CLOSE_1000 = "close1000"
    CLOSE_1001 = "close1001"
    CLOSE_1011 = "close1011"
    ABORT = "abort"  # a TCP reset: the reader sees 1006
    SILENT = "silent"  # the connection stays open and nothing comes any more
    HALF_FRAME = "halfframe"  # a whole frame with half a JSON object
    RUBBISH = "rubbish"  # frames that are no events


def parse_faults(text: str) -> dict[Fault, int]:
    """Return {fault: every so many messages} of KIND:N[,KIND:N]; SettingError when it is no such list."""
    result: dict[Fault, int] = {}
    for part in filter(None, (item.strip() for item in text.split(","))):
        name, _, number = part.partition(":")
        if name not in list(Fault):
            raise SettingError(f"--faults = {text!r}: {name!r} is none of {', '.join(Fault)}")
        if not number.isdigit() or int(number) < 1:
            raise SettingError(f"--faults = {text!r}: {part!r} is no KIND:N with N of 1 or more")
        result[Fault(name)] = int(number)
    return result


class FaultCounter:
    """Counts messages of all connections together, towards each fault on its own."""

    def __init__(self, every: dict[Fault, int]) -> None:
        self._every = every
        self._left = dict(every)
        self.done: dict[Fault, int] = dict.fromkeys(every, 0)

    def room(self, most: int) -> int:
        """Return how many messages, at most ``most``, may be sent before the next fault."""
        return min([most, *self._left.values()])

    def count(self, sent: int) -> list[Fault]:
        """Count messages sent, no more than ``room``; return the faults that are due now."""
        due = []
        for fault in self._left:
            self._left[fault] -= sent
            if self._left[fault] <= 0:
                self._left[fault] = self._every[fault]
                self.done[fault] += 1
                due.append(fault)
        return due
