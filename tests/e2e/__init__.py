"""The daemon from outside: real processes, real sockets, the stand-in cloud."""
