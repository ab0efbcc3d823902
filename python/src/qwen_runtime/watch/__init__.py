"""What Prometheus knows of a site, on a read-only page and in a terminal."""
