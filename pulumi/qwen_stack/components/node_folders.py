"""The component of the hosts' folders that pods mount."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi

from qwen_stack.components.kubernetes import create, namespace_of
from qwen_stack.specs import node_folder
from qwen_stack.specs.node_folder import NodeFolder


class NodeFolders(pulumi.ComponentResource):
    """`namespace` is known once the claims exist, so what mounts a folder waits for that."""

    namespace: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        namespace: pulumi.Output[str],
        namespace_name: str,
        folders: Iterable[NodeFolder],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("qwen-onprem:serving:NodeFolders", name, None, opts)
        self.namespace = namespace
        for folder in dict.fromkeys(folders):
            volume = create(node_folder.persistent_volume(folder, namespace_name), self)
            claim = create(node_folder.claim(folder, namespace_name), self, self.namespace, depends_on=[volume])
            self.namespace = namespace_of(claim)
        self.register_outputs({"namespace": self.namespace})
