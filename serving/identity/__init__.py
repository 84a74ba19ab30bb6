"""Who asks: DIDs, their documents and keys, and the tokens that they sign."""
