"""GET /me: what somebody who is signed in may see and do.

Owns: that page. Leaves to others: who is signed in (``sign_in.browser_sessions``).
"""

from dataclasses import dataclass

import falcon

from serving.config import ServingConfig
from serving.pages.appview import AppViewReader
from serving.pages.html import show
from serving.sign_in.browser_sessions import BrowserSessions


@dataclass(slots=True)
class MePage:
    """The page."""

    config: ServingConfig
    sessions: BrowserSessions
    appview: AppViewReader

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer the page; whoever is not signed in goes to the form."""
        session = self.sessions.of(request)
        if session is None:
            raise falcon.HTTPSeeOther("/sign-in")
        described = self.appview.describe(dids=[session.did])
        show(response, "me.html", self.config, did=session.did, proof=session.proof, described=described)
        response.set_header("Referrer-Policy", "same-origin")  # else browsers hide where a form comes from
