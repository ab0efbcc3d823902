"""Entry of the program: pulumi runs this folder."""

import sys
from pathlib import Path

# The runtime package is taken from the tree: an installed copy could differ from the one in the images.
sys.path.append(str(Path(__file__).resolve().parents[1] / "python/src"))
from qwen_stack import program

program.run()
