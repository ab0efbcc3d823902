"""The images that a site builds: their catalogue, rendered Containerfiles, and the build itself."""

import sys
from pathlib import Path

# `python -m images.build` takes the runtime package from the tree, as pulumi's program does.
sys.path.append(str(Path(__file__).resolve().parents[1] / "python/src"))
