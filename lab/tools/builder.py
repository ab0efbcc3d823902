"""Builder of the pinned tools, from Go modules whose go.mod and go.sum are committed under lab/tools/.

A tool on PATH that has the pinned version is used as it is. A build is kept in the cache and never repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import store
from lab.errors import LabError
from lab.paths import BIN, CACHE, REPO
from lab.shell import attempt, logged, output
from lab.tools.build_progress import AT_A_TIME, BuildProgress
from lab.tools.go_modules import Module, modules, on_request
from lab.versions import versions

# No DWARF: the linker would drop it again. The binaries are the same, so this is no part of a build's key.
COMPILE = ("-trimpath", "-gcflags=all=-dwarf=false")
# Names and users are looked up by Go's own code, also in a program that links C. With C's lookup the package `net`
# differs, and everything that imports it would be compiled a second time.
TAGS = "-tags=netgo,osusergo"


def check(module: Module) -> None:
    """Refuse a module whose go.mod has another version than versions.yml."""
    if module.version != module.pin:
        go_mod = (module.path / "go.mod").relative_to(REPO)
        raise LabError(
            f"{module.name} {module.pin} in versions.yml, and {module.source} v{module.version} in {go_mod}",
            "one version in both: the lab would call the one by the name of the other",
            f"raise {go_mod} with `go get`, its replace lines too, or set versions.yml to what it has",
        )


def build() -> str | None:
    """Make every tool of `make up` available under BIN; returns which were built, None when none was."""
    built = _build(modules())
    pause, pause_made = store.obtain("tools/pause", _pause_key(), _compile_pause)
    _link({"pause": pause / "pause"})
    return _built([*built, *["pause"] * pause_made])


def build_on_request(*names: str) -> str | None:
    """Make these other tools available under BIN; returns which were built, None when none was."""
    return _built(_build([module for module in on_request() if module.name in names]))


def _built(names: Sequence[str]) -> str | None:
    """Result of a step that built modules."""
    if not names:
        return None
    # 12 GB that nothing needs any more: the binaries are in the lab's cache.
    logged("tools", "go", "clean", "-modcache", "-cache", env=_environment())
    return f"built {', '.join(names)}"


def _build(wanted: Sequence[Module]) -> list[str]:
    """Make the binaries of modules available under BIN; returns the names of those that were built."""
    for module in wanted:
        check(module)
    sources = {m.name: _on_path(m) for m in wanted}
    needed = [m for m in wanted if not sources[m.name]]
    progress = BuildProgress(missing(needed))
    with progress.shown(), ThreadPoolExecutor(AT_A_TIME) as pool:
        results = [pool.submit(_obtain, module, progress) for module in needed]
        try:
            made = [result.result() for result in results]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for module, (folder, _) in zip(needed, made, strict=True):
        sources[module.name] = {b: folder / b for b in module.binaries}
    _link({name: path for binaries in sources.values() for name, path in binaries.items()})
    return [m.name for m, (_, new) in zip(needed, made, strict=True) if new]


def _obtain(module: Module, progress: BuildProgress) -> tuple[Path, bool]:
    def make(into: Path) -> None:
        with progress.building(module):
            _compile(module, into)

    return store.obtain(f"tools/{module.name}", _key(module), make)


def missing(wanted: Sequence[Module]) -> list[Module]:
    """Modules that the cache does not have. Damage there is noticed later, when the module is taken."""
    return [m for m in wanted if not (CACHE / "tools" / m.name / _key(m)).exists()]


def _on_path(module: Module) -> dict[str, Path]:
    """The module's binaries on PATH, if all of them are there at the pinned version; else none."""
    binaries = {name: Path(path) for name in module.binaries if (path := shutil.which(name))}
    if not module.on_path or len(binaries) != len(module.binaries):
        return {}
    return binaries if all(_is_pinned(module, name, path) for name, path in binaries.items()) else {}


def _is_pinned(module: Module, name: str, path: Path) -> bool:
    """Whether a binary prints the pinned version."""
    answer = attempt(path, *module.version_args.get(name, ("--version",)))
    printed = (answer.stdout + answer.stderr).replace("CoreDNS-", "").split()
    return bool({module.pin, f"v{module.pin}"} & set(printed))


def _key(module: Module) -> str:
    sources = sorted(module.path.rglob("*.go"))
    return store.key(
        module.path / "go.mod",
        module.path / "go.sum",
        *sources,
        module.ldflags,
        f"{module.cgo} {TAGS}" if module.cgo else str(module.cgo),
        " ".join(module.binaries),
    )


def _compile(module: Module, into: Path) -> None:
    logged(
        f"tools-{module.name}",
        *("go", "build", *COMPILE, TAGS, "-ldflags", f"-s -w {module.ldflags}".strip()),
        *("-o", f"{into}/", *module.packages),
        cwd=module.path,
        env=_environment(cgo=module.cgo),
    )
    for built, wanted in module.built_as:
        (into / built).rename(into / wanted)
    for go_module, path in module.extras:
        source = output("go", "list", "-m", "-f", "{{.Dir}}", go_module, cwd=module.path, env=_environment())
        _copy(Path(source) / path, into / Path(path).name)
    absent = [binary for binary in module.binaries if not (into / binary).exists()]
    if absent:
        raise LabError(
            f"building {module.name} left no {', '.join(absent)}", "all of its binaries", f"read {module.path}/go.mod"
        )


def _copy(source: Path, target: Path) -> None:
    """Copy what comes with a source: a folder, or a file that may be a program."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
        target.chmod(0o755)


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
    """Link binaries of any origin into one folder, for PATH and for image builds."""
    BIN.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        link = BIN / name
        if not (link.is_symlink() and link.readlink() == source):
            link.unlink(missing_ok=True)
            link.symlink_to(source)
