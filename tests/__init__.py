"""The tests of broker, mirroring its folders."""
