"""Stand-ins for NVIDIA's hardware and software: GPUs in a host's slots, driver packages, device plugin, exporter."""
