"""The web app's errors.

    ServingError            the server can't start; the text is one line for the operator
    falcon.HTTPError
    └── XrpcError           an answer that is an error, with its XRPC name
        ├── InvalidRequestError     400: a parameter or body is malformed
        ├── UnknownFeedError        400: this service has no such feed
        ├── TokenError              401: a token proves nothing; its name is the reason
        └── UnavailableError        502 or 503: not the client's fault; worth trying again

An AppView passes 4xx and 501-504 on to the app with name and message, and turns a 500 into a 502.
"""

import falcon


class ServingError(Exception):
    """The web app can't start; the text says what is wrong and what to do."""


class XrpcError(falcon.HTTPError):
    """An XRPC error: a status, a name clients compare, and a message people read."""

    def __init__(self, status: str, name: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, title=name, description=message, headers=headers)
        self.name = name
        self.message = message


class InvalidRequestError(XrpcError):
    """400: a parameter or body that is missing or malformed."""

    def __init__(self, message: str) -> None:
        super().__init__(falcon.HTTP_400, "InvalidRequest", message)


class UnknownFeedError(XrpcError):
    """400: this installation has no such feed."""

    def __init__(self) -> None:
        super().__init__(falcon.HTTP_400, "UnknownFeed", "unknown feed")


class TokenError(XrpcError):
    """401: the request's token is not accepted; ``name`` is the reference verifier's name for the reason."""

    def __init__(self, name: str, message: str) -> None:
        challenge = f'Bearer realm="foryou", error="invalid_token", error_description="{name}"'
        super().__init__(falcon.HTTP_401, name, message, headers={"WWW-Authenticate": challenge})


class UnavailableError(XrpcError):
    """502 UpstreamFailure (``upstream``) or 503 NotEnoughResources: the client may try again."""

    def __init__(self, message: str, *, upstream: bool = False) -> None:
        if upstream:
            super().__init__(falcon.HTTP_502, "UpstreamFailure", message)
        else:
            super().__init__(falcon.HTTP_503, "NotEnoughResources", message, headers={"Retry-After": "2"})
