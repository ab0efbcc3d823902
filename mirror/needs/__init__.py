"""Needs of a site that its mirror answers: packages, keys, images, wheels, archives and models."""
