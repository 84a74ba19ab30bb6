"""The wire form of parameters, answers and errors.

Owns: query parameters that occur once, JSON bodies, the form of every error ({"error", "message"}), and what
unknown addresses get. Leaves to others: which error is raised (``web_errors``).
"""

import logging
from typing import Any

import falcon
import orjson

from serving.http.request_log import safe_path
from serving.web_errors import InvalidRequestError, XrpcError

log = logging.getLogger(__name__)

NAMES = {
    400: "InvalidRequest",
    401: "AuthenticationRequired",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "PayloadTooLarge",
    414: "InvalidRequest",
    415: "UnsupportedMediaType",
    431: "InvalidRequest",
    501: "MethodNotImplemented",
    503: "NotEnoughResources",
}


def answer(response: falcon.Response, value: Any, *, private: bool = False) -> None:
    """Set a JSON body; ``private`` keeps it out of every cache."""
    response.data = orjson.dumps(value)
    response.content_type = falcon.MEDIA_JSON
    response.set_header("Cache-Control", "private, no-store" if private else "no-cache")


def parameter(request: falcon.Request, name: str) -> str | None:
    """Return a query parameter that may occur once; raise InvalidRequestError when it occurs twice."""
    value: Any = request.params.get(name)
    if isinstance(value, list):
        raise InvalidRequestError(f"{name} occurs twice")
    return value  # type: ignore[no-any-return]


def add_error_forms(app: falcon.App[falcon.Request, falcon.Response]) -> None:
    """Make every error of an app an XRPC error, and answer unknown XRPC methods with 501."""
    app.set_error_serializer(error_form)
    app.add_error_handler(Exception, _unexpected)
    app.add_sink(_unknown_method, prefix=r"/xrpc/(?P<method>.*)")


def error_form(_request: falcon.Request, response: falcon.Response, error: falcon.HTTPError) -> None:
    """Give an error the form of XRPC."""
    status = falcon.code_to_http_status(error.status)
    name = error.name if isinstance(error, XrpcError) else NAMES.get(int(status[:3]), "InvalidRequest")
    message = error.description or error.title or status[4:]
    answer(response, {"error": name, "message": message}, private=True)


def _unexpected(
    request: falcon.Request, _response: falcon.Response, error: Exception, _parameters: dict[str, Any]
) -> None:
    log.error("%s %s failed", getattr(request.context, "number", "-"), safe_path(request), exc_info=error)
    raise XrpcError(falcon.HTTP_500, "InternalServerError", "this service has a fault; it was logged")


def _unknown_method(req: falcon.Request, resp: falcon.Response, **_parameters: Any) -> None:
    raise XrpcError(falcon.HTTP_501, "MethodNotImplemented", "this service has no such method")
