"""What holds for every test: in CI a skip is a failure, unless it says why the test cannot run there."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None)  # a busy machine is no defect
settings.load_profile("project")

if TYPE_CHECKING:
    from collections.abc import Generator

EXCUSE = "cannot run here"


def pytest_collection_finish() -> None:
    """What 3,600 collected tests are made of lives to the end: it need not be gone through at each full collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip without the excuse into a failure where CI=true."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and EXCUSE not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI without saying why it {EXCUSE}: {report.longrepr}"
    return report
