"""How the simulated server misbehaves, and when.

Owns: the faults' names, parsing ``--faults``, counting towards each fault. Leaves to others: doing them
(``listener``).
"""

from enum import StrEnum

from pipeline.errors import SettingError


class Fault(StrEnum):
    """A way in which real stream servers misbehave."""

    CLOSE_1000 = "close1000"
    CLOSE_1001 = "close1001"
    CLOSE_1011 = "close1011"
    ABORT = "abort"  # a TCP reset: the reader sees 1006
    SILENT = "silent"  # the connection stays open, and nothing is sent any more
    HALF_FRAME = "halfframe"  # a whole frame with half a JSON object
    RUBBISH = "rubbish"  # frames that are not events


def parse_faults(text: str) -> dict[Fault, int]:
    """Return {fault: messages between two of them} of a text KIND:N[,KIND:N]; SettingError when it is wrong."""
    result: dict[Fault, int] = {}
    for part in filter(None, (item.strip() for item in text.split(","))):
        name, _, number = part.partition(":")
        if name not in list(Fault):
            raise SettingError(
                f"--faults = {text!r}: unknown kind {name!r}, expected one of {', '.join(Fault)}"
            )
        if not number.isdigit() or int(number) < 1:
            raise SettingError(f"--faults = {text!r}: {part!r} must be KIND:N with N of 1 or more")
        result[Fault(name)] = int(number)
    return result


class FaultCounter:
    """Counts the messages of all connections, for each fault separately."""

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
