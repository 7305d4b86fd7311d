"""The stand-in for the ELIOT cloud: its documents, its errors, its weather.

Made of the vendor's page and of what is known about the cloud; knows nothing of the broker's own inside.
Start with `Cloud` (in a loop) or `CloudThread` (beside real processes); `credentials` says what it accepts.
"""

from __future__ import annotations

from broker.sandbox.api_errors import CAPTIVE_PORTAL, api_fault
from broker.sandbox.cloud import Cloud
from broker.sandbox.cloud_thread import CloudThread
from broker.sandbox.oauth_errors import token_fault
from broker.sandbox.options import Application, Options, Person
from broker.sandbox.person import LoginPageError, follow_login
from broker.sandbox.scenarios import SCENARIOS, Scenario
from broker.sandbox.weather import Fault

__all__ = [
    "CAPTIVE_PORTAL",
    "SCENARIOS",
    "Application",
    "Cloud",
    "CloudThread",
    "Fault",
    "LoginPageError",
    "Options",
    "Person",
    "Scenario",
    "api_fault",
    "follow_login",
    "token_fault",
]
