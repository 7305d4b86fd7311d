"""The client library: standard library only, nothing of the rest of broker."""
