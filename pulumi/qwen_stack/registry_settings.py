"""Shape of the key `registryLogin` of a stack's configuration."""

from __future__ import annotations

from pydantic import Field, SecretStr

from qwen_stack.section import Section


class RegistryLogin(Section):
    """Login with which the pods of the stack pull their images."""

    user: str = Field(pattern=r"^[^\s:]+$")
    """Login with which every pod pulls its image, for a registry that wants one."""
    password: SecretStr = Field(min_length=1)
    """Password of this login."""
