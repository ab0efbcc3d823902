"""Bringing a carried folder into the site's mirror."""
