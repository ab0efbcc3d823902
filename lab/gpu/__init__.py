"""NVIDIA's part: GPUs in a host's slots, the packages of the driver, device plugin and exporter."""
