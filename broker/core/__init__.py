"""Decisions: pure functions over frozen values and `now`. No I/O, no clock, no asyncio, no logging, no library."""
