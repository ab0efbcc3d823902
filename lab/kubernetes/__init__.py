"""The Kubernetes project's part: Debian packages and images, made from the binaries of `tools`."""
