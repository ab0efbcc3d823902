"""Ansible's linear strategy with one Python process per host for a whole run: the lab's choice (docs/adr/0033).

Ansible finds strategies by folder, and the folder of Mitogen's own depends on where it is installed; this file has one
place. The class has to come from Mitogen's own module, which keeps state that must not be loaded twice.
"""

from __future__ import annotations

import functools
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.loader import filter_loader, test_loader

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

# Mitogen compiles a module with all that it imports to see what a host needs: mostly the same files for every module.
ansible_mitogen.module_finder.compile = functools.cache(compile)

# Mitogen pins this process and all of its forks to the processors that it leaves to them: to one, where there are two.
ansible_mitogen.affinity.policy = ansible_mitogen.affinity.Policy()


class StrategyModule(  # type: ignore[misc]
    ansible_mitogen.strategy.StrategyMixin,
    ansible_mitogen.loaders.strategy_loader.get("linear", class_only=True),
):
    """Tasks run in the inventory's order, on all hosts at a time, as without it."""

    def run(self, iterator: Any, play_context: Any) -> Any:
        # Each task of each host is a fork of this process: what is loaded here is not loaded three hundred times.
        for loader in (filter_loader, test_loader):
            list(loader.all())
        return super().run(iterator, play_context)
