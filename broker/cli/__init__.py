"""The commands of eliot-broker; heavy imports only inside the command that needs them."""
