"""Packages inside the images that a site's registry has."""
