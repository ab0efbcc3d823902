"""A device plugin that would hand over GPUs without the driver is refused before it is applied."""

from __future__ import annotations

from pathlib import Path

from . import refusals

SITE = {"gpu_device_plugin_image": "registry/plugin:v1", "gpu_device_plugin_node_selector": {"gpu": "true"}}


def test_a_plugin_without_the_class_or_with_names_that_its_runtime_does_not_read_is_refused(tmp_path: Path) -> None:
    cases = {
        "fits": SITE,
        "another-class": SITE | {"gpu_device_plugin_runtime_class": "nvidia-container"},
        "envvar-by-default": SITE | {"gpu_device_plugin_env": {"PASS_DEVICE_SPECS": "true"}},
        "no-class": SITE | {"gpu_device_plugin_runtime_class": ""},
        "cdi-names": SITE | {"gpu_device_plugin_env": {"DEVICE_LIST_STRATEGY": "cdi-cri"}},
    }
    tasks = [{"ansible.builtin.import_role": {"name": "gpu_device_plugin", "tasks_from": "preflight"}}]
    messages = refusals.refused(tmp_path, tasks, cases)
    assert set(messages) == {"no-class", "cdi-names"}
    assert "cdi-cri" in messages["cdi-names"]
    assert "Set the class" in messages["no-class"]
