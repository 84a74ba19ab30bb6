"""What a test knows of a demo that runs."""

from dataclasses import dataclass, field


@dataclass
class RunningDemo:
    """What the demo printed: the web app's address, and the people to begin with by name."""

    address: str = ""
    people: dict[str, str] = field(default_factory=dict)  # name: DID
    text: str = ""
