"""A simulated data centre on one machine: hosts, a site mirror, a cluster and the pinned tools."""
