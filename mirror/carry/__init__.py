"""The carried folder: its signed list of files, and the part of it that a site does not have yet."""
