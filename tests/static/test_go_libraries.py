"""Programs that share libraries name them at one version, so that a cold lab compiles them once."""

from pathlib import Path

import pytest

from lab.tools.go_modules import modules

FOLDERS = {module.name: module.path for module in modules()}
SHARED_WITH = {
    "etcd": "kubernetes",
    "flannel": "kubernetes",
    "gpu": "kubernetes",
    "kube-router": "kubernetes",
    "pulumi-language-python": "pulumi",
    "registry": "pulumi",
}
# Nearly everything else that these programs share imports one of them.
ROOTS = (
    "golang.org/x/net",
    "golang.org/x/sys",
    "golang.org/x/text",
    "google.golang.org/grpc",
    "google.golang.org/protobuf",
    "k8s.io/api",
    "k8s.io/apimachinery",
    "k8s.io/client-go",
)


def required_roots(go_mod: Path) -> dict[str, str]:
    lines = [line.removeprefix("require ").split() for line in go_mod.read_text().splitlines()]
    return {words[0]: words[1] for words in lines if len(words) > 1 and words[0] in ROOTS and words[1] != "=>"}


@pytest.mark.parametrize("name", SHARED_WITH)
def test_a_shared_library_has_one_version(name: str) -> None:
    own = required_roots(FOLDERS[name] / "go.mod")
    other = required_roots(FOLDERS[SHARED_WITH[name]] / "go.mod")
    assert own.keys() & other.keys()
    differing = {root: (own[root], other[root]) for root in own.keys() & other.keys() if own[root] != other[root]}
    assert not differing, f"lab/tools/{name}: `go get` the version of {SHARED_WITH[name]}"
