"""The stand-in for the ELIOT cloud: its documents, its errors, its weather."""
