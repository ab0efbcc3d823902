"""Fetching what a site needs, on a connected machine, into a folder that is carried to the site."""
