"""Model directories: described by a manifest, verified against it, staged from a mirror or from neighbours.

manifest.json is written once, where the files are known to be good, and is copied with them.
"""

from qwen_runtime.weights.files import MANIFEST_NAME, STAGE_AGAIN
from qwen_runtime.weights.manifest import Manifest, read_manifest, write_manifest
from qwen_runtime.weights.verification import verify

__all__ = ["MANIFEST_NAME", "STAGE_AGAIN", "Manifest", "read_manifest", "verify", "write_manifest"]
