"""The gateway: its pods, and the files from which Envoy runs."""
