"""The alerts, and the recorded series that they and the dashboards read."""
