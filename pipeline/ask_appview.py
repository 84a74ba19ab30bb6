"""One question to the AppView: an XRPC query whose answer is a JSON object of bounded size.

Owns: the request, and what makes an answer none. Leaves to others: what is asked for and what follows
(``blocking.followed_lists``, ``backfill.author_profiles``), handles (``handles``), what pages show
(``serving.pages.appview``).
"""

from collections.abc import Mapping, Sequence

import httpx
import orjson

from pipeline.errors import PipelineError

ANSWER_MAX_BYTES = 2_000_000
TIMEOUT_SECONDS = 10.0


class NoAnswerError(PipelineError):
    """The AppView can't be reached, refuses, or says something else; the text says which."""


def appview_client(appview_url: str) -> httpx.Client:
    """Return a client for several questions, to be closed by the caller."""
    return httpx.Client(base_url=appview_url, timeout=TIMEOUT_SECONDS, follow_redirects=False)


def ask(
    client: httpx.Client, method: str, params: Mapping[str, str | int | Sequence[str]]
) -> dict[str, object]:
    """Return the answer to a query, such as app.bsky.graph.getList; NoAnswerError when there is none."""
    try:
        with client.stream("GET", f"/xrpc/{method}", params=dict(params)) as answer:
            content = b""
            for part in answer.iter_bytes():
                content += part
                if len(content) > ANSWER_MAX_BYTES:
                    raise NoAnswerError(f"the answer has more than {ANSWER_MAX_BYTES:,} bytes")
        found = orjson.loads(content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoAnswerError(str(error) or type(error).__name__) from error
    except orjson.JSONDecodeError as error:
        raise NoAnswerError(f"status {answer.status_code}, and not JSON") from error
    if answer.status_code != 200 or not isinstance(found, dict):
        said = found.get("message") if isinstance(found, dict) else ""
        raise NoAnswerError(f"status {answer.status_code}: {str(said or '')[:200]}".rstrip(": "))
    return found
