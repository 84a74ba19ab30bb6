"""The pictures of the simulated network: faces and scenes, drawn as SVG.

Owns: what a picture looks like, a function of a text. Leaves to others: where pictures have their address
(``appview``). So avatars and images need no files, and nothing of another's is shown.
"""

import hashlib
from math import cos, pi, sin

_SKIES = (
    ("#f6c177", "#eb6f92"), ("#9ccfd8", "#31748f"), ("#c4a7e7", "#5b4b8a"), ("#b8e0d2", "#3d7a68"),
    ("#ffd6a5", "#b5651d"), ("#a0c4ff", "#2b4a8b"), ("#e5e1da", "#6b665c"), ("#ffadad", "#9b2335"),
)  # fmt: skip
_HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'


def avatar(text: str) -> bytes:
    """Return a face."""
    seed = _seed(text)
    light, dark = _SKIES[seed[0] % len(_SKIES)]
    eye, mouth = 30 + seed[1] % 14, 56 + seed[2] % 14
    smile, ink = seed[3] % 22 - 4, "#23211d"
    hair = 20 + seed[4] % 18
    parts = [
        _HEAD.format(width=96, height=96),
        f'<rect width="96" height="96" fill="{dark}"/><circle cx="48" cy="54" r="34" fill="{light}"/>',
        f'<path d="M14 54a34 34 0 0 1 68 0q-34 -{hair} -68 0z" fill="{dark}" stroke="{dark}" stroke-width="4"/>',
        *(f'<circle cx="{x}" cy="54" r="4" fill="{ink}"/>' for x in (48 - eye // 2, 48 + eye // 2)),
        f'<path d="M34 {mouth + 8}q14 {smile} 28 0" fill="none" stroke="{ink}" stroke-width="4"/></svg>',
    ]
    return "".join(parts).encode()


def scene(text: str, width: int = 640, height: int = 420) -> bytes:
    """Return a landscape: a sky, a sun, and hills."""
    seed = _seed(text)
    light, dark = _SKIES[seed[0] % len(_SKIES)]
    sun_x, sun_y, radius = (
        width * (15 + seed[1] % 70) // 100,
        height * (18 + seed[2] % 30) // 100,
        30 + seed[3] % 50,
    )
    parts = [
        _HEAD.format(width=width, height=height),
        f'<rect width="{width}" height="{height}" fill="{light}"/>',
        f'<circle cx="{sun_x}" cy="{sun_y}" r="{radius}" fill="#fff8e7" opacity=".85"/>',
    ]
    for hill in range(3):
        level = height * (50 + hill * 16) / 100
        waves = 1 + seed[4 + hill] % 3
        phase = seed[7 + hill] / 40
        points = " ".join(
            f"{x * width // 24},{level + height * 0.09 * sin(phase + x / 24 * waves * 2 * pi) * cos(x / 9):.0f}"
            for x in range(25)
        )
        opacity = (0.35, 0.6, 0.95)[hill]
        parts.append(
            f'<polygon points="0,{height} {points} {width},{height}" fill="{dark}" opacity="{opacity}"/>'
        )
    return "".join([*parts, "</svg>"]).encode()


def _seed(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
