"""Events as the text that the real network would send, byte for byte."""
