"""eliot-broker: logs in to the ELIOT cloud once, keeps the login, and vends call-in tickets over a Unix socket."""

__version__ = "0.1.0"
