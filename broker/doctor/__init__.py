"""What `doctor` looks at, room by room: each finding says what is so and, where it is wrong, what to do.

Knows configuration, adapters and the client library, no terminal. The one invariant: nothing is changed, and nothing
is spent from the call quota.
"""
