"""The images that a site builds: their catalogue, rendered Containerfiles, and the build itself."""
