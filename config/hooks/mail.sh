#!/bin/sh
# Mails what eliot-broker tells. [hooks] command = ["/etc/eliot-broker/hooks/mail.sh", "you@example.org"]
# Needs a sendmail that speaks SMTP itself, like msmtp's: those of postfix and exim want a spool and a setgid bit, which
# the service's sandbox takes away. The facts are in BROKER_* variables; BROKER_TEXT is a sentence.
set -eu
case "$BROKER_EVENT" in
service.*) exit 0 ;; # starts and stops are no news
esac
sendmail -i -- "$1" <<MAIL
To: $1
Subject: eliot-broker: $BROKER_EVENT ${BROKER_ACCOUNT:-${BROKER_TICKET:-}}
Content-Type: text/plain; charset=utf-8

$BROKER_TEXT
${BROKER_HINT:+
What to do: $BROKER_HINT}
MAIL
