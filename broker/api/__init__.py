"""What local processes can say over the Unix socket."""
