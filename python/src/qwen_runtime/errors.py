"""Errors by who must act; each class has its exit code. A message says what was found, what is needed, what to do."""


class Error(Exception):
    """Root of everything that this package raises on purpose."""

    exit_code = 1

    def __init__(self, found: str, needed: str, remedy: str) -> None:
        self.found, self.needed, self.remedy = found, needed, remedy
        super().__init__(f"{found}; needed: {needed}. {remedy}")


class UsageError(Error):
    """Whoever wrote the command or its configuration must act."""

    exit_code = 2


class WeightsError(Error):
    """Whoever staged the model's files must act."""

    exit_code = 3


class PlanError(Error):
    """Whoever chose the hosts for the model must act: it does not fit them."""

    exit_code = 3


class HostError(Error):
    """Whoever runs the host or builds the image must act: a port, a missing package, a missing kernel feature."""

    exit_code = 4


class EngineError(Error):
    """The engine failed by itself, after everything that can be checked beforehand was right."""

    exit_code = 5
