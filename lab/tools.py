"""The pinned tools: built from Go modules whose go.mod and go.sum are committed under lab/tools/.

A tool of the pinned version that is already on PATH is used as it is; a build is kept in the cache and never repeated.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from lab import store
from lab.errors import LabError
from lab.go_modules import Module, modules
from lab.paths import BIN, CACHE, REPO
from lab.shell import attempt, logged, output
from lab.versions import versions


def check(module: Module) -> None:
    """Refuse a version that is pinned and would not be what is built."""
    if module.version != module.pin:
        go_mod = (module.path / "go.mod").relative_to(REPO)
        raise LabError(
            f"{module.name} {module.pin} in versions.yml, and {module.source} v{module.version} in {go_mod}",
            "one version in both: the lab would call the one by the name of the other",
            f"raise {go_mod} with `go get`, its replace lines too, or set versions.yml to what it has",
        )


def build() -> str | None:
    """Make every tool available under BIN; returns what was built, None when nothing was."""
    built = []
    sources: dict[str, Path] = {}
    wanted = modules()
    for module in wanted:
        check(module)
    for module in wanted:
        on_path = _on_path(module)
        if on_path:
            sources |= on_path
            continue
        folder, made = store.obtain(f"tools/{module.name}", _key(module), partial(_compile, module))
        sources |= {b: folder / b for b in module.binaries}
        if made:
            built.append(module.name)
            print(f"      built {module.name}", flush=True)
    pause, made = store.obtain("tools/pause", _pause_key(), _compile_pause)
    sources["pause"] = pause / "pause"
    if made:
        built.append("pause")
    _link(sources)
    if built:
        # 12 GB that nothing needs again: what was built lies in the cache.
        logged("tools", "go", "clean", "-modcache", "-cache", env=_environment())
    return f"built {', '.join(built)}" if built else None


def _on_path(module: Module) -> dict[str, Path]:
    """The module's binaries on PATH when all are there at the pinned version, else nothing."""
    found = {b: Path(p) for b in module.binaries if (p := shutil.which(b))}
    if not module.on_path or len(found) != len(module.binaries):
        return {}
    pinned = all(_says(module, name, path) for name, path in found.items())
    return found if pinned else {}


def _says(module: Module, name: str, path: Path) -> bool:
    """Whether a binary calls itself by the pinned version."""
    answer = attempt(path, *module.version_args.get(name, ("--version",)))
    words = (answer.stdout + answer.stderr).replace("CoreDNS-", "").split()
    return bool({module.pin, f"v{module.pin}"} & set(words))


def _key(module: Module) -> str:
    sources = sorted(module.path.rglob("*.go"))
    return store.key(
        module.path / "go.mod",
        module.path / "go.sum",
        *sources,
        module.ldflags,
        str(module.cgo),
        " ".join(module.binaries),
    )


def _compile(module: Module, into: Path) -> None:
    logged(
        "tools",
        *(
            "go",
            "build",
            "-trimpath",
            "-ldflags",
            f"-s -w {module.ldflags}".strip(),
            "-o",
            f"{into}/",
            *module.packages,
        ),
        cwd=module.path,
        env=_environment(cgo=module.cgo),
    )
    for built, wanted in module.built_as:
        (into / built).rename(into / wanted)
    for go_module, path in module.extras:
        source = output("go", "list", "-m", "-f", "{{.Dir}}", go_module, cwd=module.path, env=_environment())
        shutil.copy(Path(source) / path, into)
        (into / Path(path).name).chmod(0o755)
    missing = [b for b in module.binaries if not (into / b).exists()]
    if missing:
        raise LabError(
            f"building {module.name} left no {', '.join(missing)}", "all of its binaries", f"read {module.path}/go.mod"
        )


def _pause_key() -> str:
    return store.key(REPO / "lab/tools/kubernetes/go.mod", versions()["kubernetes"]["pause"])


def _compile_pause(into: Path) -> None:
    module = REPO / "lab/tools/kubernetes"
    logged("tools", "go", "mod", "download", "k8s.io/kubernetes", cwd=module, env=_environment())
    source = output("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes", cwd=module, env=_environment())
    logged(
        "tools",
        *("gcc", "-static", "-Os", f"-DVERSION={versions()['kubernetes']['pause']}"),
        *("-o", into / "pause", Path(source) / "build/pause/linux/pause.c"),
    )


def _environment(*, cgo: bool = False) -> dict[str, str]:
    return {
        "CGO_ENABLED": "1" if cgo else "0",
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOCACHE": str(CACHE / "go/build"),
        "GOMODCACHE": str(CACHE / "go/mod"),
    }


def _link(sources: dict[str, Path]) -> None:
    """One folder for PATH and for image builds, whatever a binary's origin."""
    BIN.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        link = BIN / name
        if not (link.is_symlink() and link.readlink() == source):
            link.unlink(missing_ok=True)
            link.symlink_to(source)
