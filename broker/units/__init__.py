"""The systemd files of this installation: what is in them, where they go, and the credentials they name.

Knows no daemon and imports nothing of it: `units` and `credentials` must work before there is a configuration that
can be used. The one invariant: the files in the repository's systemd/ are what this package renders for
/opt/eliot-broker/current (a test compares them).
"""

from __future__ import annotations
