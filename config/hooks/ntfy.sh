#!/bin/sh
# Sends what eliot-broker tells to a telephone by ntfy.
# [hooks] command = ["/etc/eliot-broker/hooks/ntfy.sh", "https://ntfy.example.org/your-topic"]
set -eu
case "$BROKER_EVENT" in
service.*) exit 0 ;;
login.required | problem.* | config.degraded) priority=high ;;
*) priority=default ;;
esac
exec curl --fail --silent --show-error --max-time 8 \
  --header "Title: eliot-broker: $BROKER_EVENT" --header "Priority: $priority" \
  --data-binary "$BROKER_TEXT" "$1"
