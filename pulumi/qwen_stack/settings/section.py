"""Forms of single values in a stack's configuration, and the base of its sections."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
VariantName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$")]
# A pod's name has at most 63 characters, and that of a group's pod ends in two numbers.
ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,46}[a-z0-9])?$")]
LabelKey = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
]
ResourceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9.]{0,252}/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
DnsName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
Image = Annotated[str, StringConstraints(pattern=r"^[^\s@]+?(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$")]
CpuQuantity = Annotated[str, StringConstraints(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$"), Field(examples=["200m"])]
MemoryQuantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti)$"), Field(examples=["2Gi"])]
PrometheusDuration = Annotated[str, StringConstraints(pattern=r"^[0-9]+(m|h|d|w|y)$"), Field(examples=["15d"])]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[a-z0-9]([-.a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?$")]
NodePort = Annotated[int, Field(ge=30000, le=32767)]
# Names go into a header, a log line and a map file; keys are compared by digest, so they must be long to be strong.
KeyName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )
