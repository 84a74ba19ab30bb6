"""The feed itself: the XRPC methods that the AppView calls, and which posts a page has."""
