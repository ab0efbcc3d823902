"""Ansible's linear strategy with one Python process per host for a whole run: the lab's choice (docs/adr/0033).

Ansible finds strategies by folder. Mitogen's own folder depends on where it is installed; this file is always here.
The class has to come from Mitogen's own module, which keeps state that must not be loaded twice.
"""

from __future__ import annotations

import functools
import gc
from typing import Any

import ansible.collections.list
import ansible.plugins.action.normal  # each fork would import it, like what is loaded in run()
from ansible.errors import AnsibleError
from ansible.plugins.loader import filter_loader, lookup_loader, test_loader

try:
    import ansible_mitogen.affinity
    import ansible_mitogen.loaders
    import ansible_mitogen.module_finder
    import ansible_mitogen.strategy
except ImportError as error:
    raise AnsibleError(
        "Found no mitogen beside this ansible, needed it to run tasks quickly. Install the controller's packages "
        "(pip install --require-hashes -r locks/controller.txt), or unset ANSIBLE_STRATEGY to go without."
    ) from error

# Mitogen compiles a module and all its imports to see what a host needs. Most files are the same for every module.
ansible_mitogen.module_finder.compile = functools.cache(compile)

# Mitogen would pin this process and all its forks to some of the processors: to one, where there are two.
ansible_mitogen.affinity.policy = ansible_mitogen.affinity.Policy()

_list_collections = ansible.collections.list.list_collection_dirs


@functools.cache
def collections() -> list[bytes]:
    """Folders of the installed collections, a hundred. Mitogen asks for them in each task whose module is of one."""
    return list(_list_collections())


ansible.collections.list.list_collection_dirs = collections


class StrategyModule(  # type: ignore[misc]
    ansible_mitogen.strategy.StrategyMixin,
    ansible_mitogen.loaders.strategy_loader.get("linear", class_only=True),
):
    """The linear strategy: every host runs a task before any host begins the next one."""

    def run(self, iterator: Any, play_context: Any) -> Any:
        # Each task of each host is a fork of this process. What is loaded here is loaded once, not three hundred times.
        for loader in (filter_loader, test_loader):
            list(loader.all())
        lookup_loader.get("env")
        collections()
        # A collection of garbage in a fork would touch, and so copy, every page that it shares with this process.
        gc.freeze()
        gc.disable()
        return super().run(iterator, play_context)
