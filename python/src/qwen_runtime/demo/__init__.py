"""Parts to try the package with: small models from a package index, GGUF conversion, a client for a terminal.

Production uses none of them: its models come from the site's mirror, its clients are the users' own.
"""
