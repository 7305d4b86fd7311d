"""Rehearsals: the real services under a virtual clock and scripted weather."""
