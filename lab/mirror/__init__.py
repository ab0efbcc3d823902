"""The site mirror, and what lies on it: Debian packages, images, wheels and weights."""
