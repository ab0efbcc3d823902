"""Errors by the person who must act; each class has its exit code.

Every message has three parts: what was found, what is needed, and a remedy. This module alone lays them out.
"""

from __future__ import annotations

from dataclasses import dataclass


def message(found: str, needed: str, remedy: str) -> str:
    """The three parts as the message that ends a command: one below the other."""
    return f"found:  {found}\nneeded: {needed}\nremedy: {remedy}"


def one_line(found: str, needed: str, remedy: str) -> str:
    """The three parts as an entry of a list or a field of a document."""
    return f"found: {found}; needed: {needed}; remedy: {remedy}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One of several things that are wrong; the subject names the file or the key that it is about."""

    subject: str
    found: str
    needed: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {one_line(self.found, self.needed, self.remedy)}"


class Error(Exception):
    """Root of everything that this package raises on purpose."""

    exit_code = 1

    def __init__(self, found: str, needed: str, remedy: str) -> None:
        self.found, self.needed, self.remedy = found, needed, remedy
        super().__init__(message(found, needed, remedy))


class UsageError(Error):
    """The author of the command or of its configuration must act."""

    exit_code = 2


class WeightsError(Error):
    """The person who staged the model's files must act."""

    exit_code = 3


class PlanError(Error):
    """The person who chose the hosts for the model must act: it does not fit them."""

    exit_code = 3


class HostError(Error):
    """The operator of the host or the builder of the image must act: a port, a missing package or kernel feature."""

    exit_code = 4


class PromotionError(Error):
    """The person who promotes must act: the candidate is not shown to keep what the baseline does."""

    exit_code = 6


class EngineError(Error):
    """The engine failed by itself, after everything that can be checked beforehand was right."""

    exit_code = 5
