"""Lets Ansible import its collections as in a run, because tests import plugins of one."""

from __future__ import annotations

from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

if not AnsibleCollectionConfig.collection_finder:
    init_plugin_loader()
