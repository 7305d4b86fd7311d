"""Who and what the sandbox's cloud knows: applications, people, a subscription key, a home with a door.

All of it is made up, which is why it may stand in a source file. The one invariant: what stands here is accepted by a
Cloud made with default options, so a broker.toml written from it works.
"""

from __future__ import annotations

TENANT = "eliotclouduamprd.onmicrosoft.com"
TENANT_ID = "0d8816d5-3e7f-4c86-8229-645137e0f222"
POLICY = "B2C_1_Eliot-SignUpOrSignIn"
POLICIES = (
    POLICY,
    "B2C_1_ThirdApp-AccountLinking",
    "B2C_1_DoorEliot-C100X-SignUporSignIn",
    "B2C_1_DoorEliot-DIY-SignUporSignIn",
)
GATEWAY_POLICY = "B2C_1_ThirdApp-AccountLinking"

PARTNER_CLIENT_ID = "5a4dbe11-0000-4000-8000-000000000001"
PARTNER_CLIENT_SECRET = "sandbox-partner-secret"
B2C_PUBLIC_CLIENT_ID = "5a4dbe11-0000-4000-8000-000000000002"
B2C_CONFIDENTIAL_CLIENT_ID = "5a4dbe11-0000-4000-8000-000000000003"
B2C_CONFIDENTIAL_CLIENT_SECRET = "sandbox-b2c-secret"
OIDC_PUBLIC_CLIENT_ID = "sandbox-oidc-public"
OIDC_CONFIDENTIAL_CLIENT_ID = "sandbox-oidc"
OIDC_CONFIDENTIAL_CLIENT_SECRET = "sandbox-oidc-secret"

REDIRECT_URI = "http://localhost:8400/callback"
CUSTOM_SCHEME_REDIRECT_URI = "com.example://oauth2redirect"
REDIRECT_URIS = (REDIRECT_URI, "http://127.0.0.1:8400/callback", CUSTOM_SCHEME_REDIRECT_URI)

USER = "mario"
USER_SUB = "11111111-2222-4333-8444-000000000001"
OTHER_USER = "lucia"
OTHER_USER_SUB = "11111111-2222-4333-8444-000000000002"

SUBSCRIPTION_KEY = "5a4dbe1150bsc21b71011ce700000001"
OTHER_SUBSCRIPTION_KEY = "5a4dbe1150bsc21b71011ce700000002"

PLANT_ID = "7e7b1b62-0000-4000-8000-00000000000a"
DEVICE_ID = "2a1c90e4-0000-4000-8000-00000000000b"
OTHER_DEVICE_ID = "2a1c90e4-0000-4000-8000-00000000000c"
OTHER_PLANT_ID = "7e7b1b62-0000-4000-8000-00000000000d"

TICKET_KEY = "sandbox-ticket-signing-key-of-nobody"
