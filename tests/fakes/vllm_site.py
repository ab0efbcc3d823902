"""Makes a folder for PYTHONPATH whose `vllm` is the stand-in of fake_vllm.py."""

from __future__ import annotations

from pathlib import Path

FAKE = Path(__file__).with_name("fake_vllm.py")


def write_vllm_site(site: Path) -> None:
    package = site / "vllm/entrypoints/cli"
    package.mkdir(parents=True)
    (package / "main.py").write_text(f"import runpy\nrunpy.run_path({str(FAKE)!r}, run_name='__main__')\n")
    information = site / "vllm-0.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.0\n")
