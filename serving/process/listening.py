"""The socket the web app listens on.

Owns: binding it, and the one line that says why it can't. Leaves to others: accepting (``web_server``).
"""

import socket

from serving.web_errors import ServingError

BACKLOG = 512


def address_of(listening: socket.socket) -> tuple[str, int]:
    """Return the address that a socket listens on."""
    host, port = listening.getsockname()[:2]
    return str(host), int(port)


def listen(address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens on an address; raise ServingError when that is not possible."""
    host, port = address
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServingError(f"can't listen on {shown}: {error.strerror or error}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(target)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        raise ServingError(
            f"can't listen on {shown}: {reason}; choose another address with --listen"
        ) from error
    return bound
