"""Stand-ins for the Kubernetes project's downloads: Debian packages and images, made from the binaries of `tools`."""
