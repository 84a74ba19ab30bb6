"""Forms that a browser sends.

Owns: reading one, within bounds. Leaves to others: what the fields mean, and whether the form may be sent.
"""

from urllib.parse import parse_qsl

import falcon

from serving.web_errors import InvalidRequestError, XrpcError

FORM_MAX_BYTES = 32_768
FIELDS_MAX = 300


def form_of(request: falcon.Request) -> dict[str, list[str]]:
    """Return a form's fields; 400, 413 or 415 when it is none."""
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise XrpcError(falcon.HTTP_415, "UnsupportedMediaType", "this address takes forms")
    body = request.bounded_stream.read(FORM_MAX_BYTES + 1)
    if len(body) > FORM_MAX_BYTES:
        raise XrpcError(falcon.HTTP_413, "PayloadTooLarge", f"more than {FORM_MAX_BYTES} bytes")
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise InvalidRequestError("the form can't be read") from error
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return found


def one(fields: dict[str, list[str]], name: str) -> str:
    """Return a field that occurs once, '' when it does not."""
    values = fields.get(name, [])
    return values[0] if len(values) == 1 else ""
