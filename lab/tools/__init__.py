"""Programs built from Go modules, a folder each, and their builder."""
