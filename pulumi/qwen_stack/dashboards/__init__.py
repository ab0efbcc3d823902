"""Dashboards for a site's own Grafana, as code over the `serving:*` series."""
