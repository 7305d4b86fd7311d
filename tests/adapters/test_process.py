from __future__ import annotations

import subprocess
import sys

LETTING_GO = """
import json, re, ssl
from pathlib import Path
from broker.adapters.process import let_go_of_text

def resident():
    text = Path("/proc/self/smaps").read_text()
    maps = re.findall(r"^\\S+ (r-xp) \\S+ \\S+ ([1-9]\\d*) .*?^Rss:\\s+(\\d+) kB", text, re.M | re.S)
    return sum(int(kilobytes) for _, _, kilobytes in maps)

context = ssl.create_default_context()
before = resident()
let_go_of_text()
after = resident()
assert ssl.create_default_context().verify_mode == context.verify_mode
print(json.dumps([before, after]))
"""


def test_program_text_that_is_let_go_of_leaves_memory_and_works_when_it_is_needed_again() -> None:
    done = subprocess.run([sys.executable, "-c", LETTING_GO], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = (int(word) for word in done.stdout.strip("[]\n").split(","))
    assert after < before / 2, (before, after)
