"""The stand-in rack: simulated hosts, a site mirror and the pinned tools, on one machine without internet."""
