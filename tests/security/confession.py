"""The daemon, in which every living object of ours can be made to tell itself: `confession.py PACKAGE FILE serve …`.

Standard library only. At SIGUSR2 it writes to FILE what repr, str, format, json and pickle make of each object. The one
invariant: what any log line, traceback, debugger or cache could ever say of an object stands in FILE.
"""

from __future__ import annotations

import gc
import json
import pickle
import signal
import sys
from pathlib import Path

ENDED = b"\n-- all told --\n"


def told(thing: object) -> list[bytes]:
    """An object in every way that Python has to write it down; nothing of ours but a Secret promises to be pickled."""
    ways = (
        repr,
        str,
        format,
        lambda it: f"{it!s:>8} {it!r}",
        lambda it: json.dumps(it, default=str),
        lambda it: pickle.dumps(it).decode("latin-1") if type(it).__name__ == "Secret" else "",
    )
    said = []
    for way in ways:
        try:
            said.append(way(thing).encode("utf-8", "surrogatepass"))
        except Exception as error:  # noqa: BLE001  # the refusal is heard, too
            said.append(repr(error).encode("utf-8", "surrogatepass"))
    return said


def confess(file: Path) -> None:
    """Write down every object whose class is the broker's."""
    ours = [thing for thing in gc.get_objects() if type(thing).__module__.startswith("broker.")]
    with file.open("ab") as record:
        for thing in ours:
            record.write(b"\n".join([type(thing).__qualname__.encode(), *told(thing), b""]))
        record.write(ENDED)


if __name__ == "__main__":
    package, file = sys.argv[1], Path(sys.argv[2])
    sys.path[0] = package
    from broker.cli.main import main

    signal.signal(signal.SIGUSR2, lambda *_: confess(file))
    sys.exit(main(sys.argv[3:]))
