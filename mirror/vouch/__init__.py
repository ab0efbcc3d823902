"""The signed list of images' digests, which the cluster admits alone."""
