"""The state of a site as Prometheus knows it, on a read-only page and in a terminal."""
