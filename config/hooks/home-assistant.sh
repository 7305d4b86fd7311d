#!/bin/sh
# Tells Home Assistant by a webhook trigger; trigger.json.event, .subject and .text are there in the automation.
# [hooks] command = ["/etc/eliot-broker/hooks/home-assistant.sh", "http://homeassistant.local:8123/api/webhook/ID"]
set -eu
quoted() { printf '%s' "$1" | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g'; }
exec curl --fail --silent --show-error --max-time 8 --header 'Content-Type: application/json' \
  --data-binary "{\"event\": \"$(quoted "$BROKER_EVENT")\", \
\"subject\": \"$(quoted "${BROKER_ACCOUNT:-${BROKER_TICKET:-${BROKER_SUBJECT:-}}}")\", \
\"text\": \"$(quoted "$BROKER_TEXT")\"}" "$1"
