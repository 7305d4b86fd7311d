"""One library or one facility of the system each, behind the ports. Adapters do not import each other."""
