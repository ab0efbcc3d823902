"""Objects that are registered by their manifests, without the classes of Pulumi's SDK for Kubernetes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.runtime import get_root_resource

from qwen_stack.components.kubernetes import create

from .recorded_stack import SECRET_MARKER, Recorder, run_program

Registered = tuple[pulumi.runtime.MockResourceArgs, pulumi.ResourceOptions]
Register = Callable[[dict[str, Any]], Registered]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Registers one object; gives what pulumi gets of it, and the options."""

    def one(manifest: dict[str, Any]) -> Registered:
        recorder = Recorder({})
        options: list[pulumi.ResourceOptions] = []
        pulumi.runtime.set_mocks(recorder)
        # Pulumi has one stack a process: those of other tests have changed what is registered in it.
        monkeypatch.setattr(get_root_resource(), "_transformations", [])

        def note(args: pulumi.ResourceTransformationArgs) -> None:
            options.append(args.opts)

        @pulumi.runtime.test
        def program() -> None:
            pulumi.runtime.register_stack_transformation(note)
            parent = pulumi.ComponentResource("test:test:Parent", "parent")
            create(manifest, parent, "qwen")

        program()
        return recorder.resources[-1], options[-1]

    return one


def test_what_a_secret_holds_is_kept_encrypted_whoever_wrote_it(register: Register) -> None:
    metadata = {"name": "one"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"a": "b"}, "stringData": {"c": "d"}}
    registered, options = register(secret)
    assert [registered.inputs[key].get(SECRET_MARKER) is not None for key in ("data", "stringData")] == [True, True]
    assert options.additional_secret_outputs == ["data", "stringData"]


def test_an_object_goes_to_pulumi_as_its_manifest_with_the_namespace_of_the_stack(register: Register) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "b"}}
    registered, options = register(manifest)
    assert registered.inputs == {**manifest, "metadata": {"name": "one", "namespace": "qwen"}}
    assert options.additional_secret_outputs is None


def test_every_object_has_the_type_and_the_version_of_pulumis_own_class(local: dict[str, Any]) -> None:
    """A type of another name would be another resource: pulumi would delete the object and make it again."""
    for name, registered in run_program(local).items():
        group, version = registered.typ.split(":")[1].split("/")
        classes = importlib.import_module(f"pulumi_kubernetes.{group.partition('.')[0]}.{version}")
        assert getattr(classes, name.partition("/")[0]).pulumi_type == registered.typ
