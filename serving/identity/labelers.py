"""Where a labeler's stream of labels is, and the key that signs them.

Owns: reading both out of the labeler's DID document. Leaves to others: fetching it, with its limits
(``repository_reader``), signatures (``keys``), the stream itself, which is ingest's.

Nothing is raised: an identity without an address has the reason.
"""

from dataclasses import dataclass

from serving.identity.keys import KeyDocumentError, SigningKey, signing_key
from serving.identity.repository_reader import RecordsPage, RepositoryReader, endpoint_of

SERVICE = ("#atproto_labeler", "AtprotoLabeler")
KEY = "#atproto_label"
METHOD = "com.atproto.label.subscribeLabels"
DOCUMENT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LabelerIdentity:
    """The address of a labeler's stream, empty when it can't be had, and why not."""

    url: str = ""
    reason: str = ""
    key: SigningKey | None = None

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether the labeler signed a message."""
        return self.key is not None and self.key.verifies(signature, message)


class LabelerReader:
    """Finds labelers by their DIDs; may be called from any thread."""

    def __init__(self, plc_url: str) -> None:
        self._reader = RepositoryReader(plc_url)

    def find(self, did: str) -> LabelerIdentity:
        """Return what a labeler's DID document says now."""
        found = self._reader.document(did, known=True, seconds=DOCUMENT_SECONDS)
        if isinstance(found, RecordsPage):
            return LabelerIdentity(reason=found.reason)
        target = endpoint_of(found.content, did, private=self._reader.private, service_of=SERVICE)
        if target is None:
            return LabelerIdentity(reason="the DID document names no labeler service that may be called")
        try:
            key = signing_key(found.content, did, KEY)
        except KeyDocumentError as error:
            return LabelerIdentity(reason=str(error))
        host = f"[{target.host}]" if ":" in target.host else target.host
        scheme, usual = ("wss", 443) if target.scheme == "https" else ("ws", 80)
        port = "" if target.port == usual else f":{target.port}"
        return LabelerIdentity(f"{scheme}://{host}{port}/xrpc/{METHOD}", key=key)
