"""What lives as long as the daemon: it keeps values fresh and logins alive. Knows ports, never a library."""
