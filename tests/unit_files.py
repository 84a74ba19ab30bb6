"""systemd's units of ``deploy/``, read."""

from pathlib import Path

SYSTEMD = Path(__file__).resolve().parents[1] / "deploy" / "systemd"


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return a unit's sections; a name may occur more than once."""
    sections: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            sections.setdefault(section, {}).setdefault(name, []).append(value)
    return sections
