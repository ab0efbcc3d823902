"""The package database and the package manager of a Debian or Ubuntu host, as pinned_packages uses them."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch

INSTALL = (
    *("apt-get", "install", "--yes", "-q", "--no-install-recommends", "--allow-downgrades"),
    *("--allow-change-held-packages", "-o", "DPkg::Lock::Timeout=120"),
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
)


ANY = "*"  # instead of a version: any that the site's repository has, not held


class Refused(Exception):
    """Ends the module with the host unchanged; the text has found, needed and remedy."""


class Packages:
    """The host's package database and its package manager."""

    def __init__(self, run: Callable[..., tuple[int, str, str]], wanted: dict[str, str], obsolete: list[str]) -> None:
        self.run, self.wanted = run, wanted
        self.states = self._read()
        self.obsolete = [
            name
            for name, (state, _) in self.states.items()
            if state[1] == "i" and name not in wanted and any(fnmatch(name, pattern) for pattern in obsolete)
        ]

    def _read(self) -> dict[str, tuple[str, str]]:
        """State and version of each package; a state such as `hi` means held and installed."""
        _, listed, _ = self.run(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\t${Package}\t${Version}\n"])
        rows = [line.split("\t") for line in listed.splitlines()]
        return {name: (state, version) for state, name, version in rows}

    def before(self) -> dict[str, str]:
        names = [*self.wanted, *self.obsolete]
        return {name: self.states[name][1] for name in names if self.states.get(name, ("un", ""))[0][1] == "i"}

    def differing(self) -> dict[str, str]:
        """Packages that are not installed at their version."""
        installed = {name: version for name, (state, version) in self.states.items() if state[1] == "i"}
        return {
            name: version
            for name, version in self.wanted.items()
            if name not in installed or version not in (ANY, installed[name])
        }

    def pinned(self) -> list[str]:
        """Packages that have one version and are held at it."""
        return [name for name, version in self.wanted.items() if version != ANY]

    def unheld(self) -> list[str]:
        return [name for name in self.pinned() if self.states.get(name, ("un", ""))[0][0] != "h"]

    def missing(self) -> list[str]:
        """Packages that no list of the host offers at their version, each with the versions on offer."""
        differing = self.differing()
        if not differing:
            return []
        _, listed, _ = self.run(["apt-cache", "madison", *differing])
        rows = [[cell.strip() for cell in line.split("|")] for line in listed.splitlines()]
        offers: dict[str, list[str]] = {name: [] for name in differing}
        for name, version, *_ in rows:
            offers.setdefault(name, []).append(version)
        return [
            f"{name} {version} (on offer: {', '.join(dict.fromkeys(offers[name])) or 'none'})"
            for name, version in differing.items()
            if not (offers[name] if version == ANY else version in offers[name])
        ]

    def look_up(self) -> None:
        """Read the package lists again when they lack something."""
        if not self.missing():
            return
        code, out, err = self.run(["apt-get", "update", "-q", "--error-on=any", "-o", "DPkg::Lock::Timeout=120"])
        if code:
            raise Refused(
                f"Found package lists that cannot be read or trusted ({_problems(out + err)}), needed lists that are "
                "signed with the key of the site's repository. Sign it again, or install its key on the host."
            )
        missing = self.missing()
        if missing:
            raise Refused(
                f"Found no {'; no '.join(missing)} in the package lists, needed every one at its version. "
                "Copy them to the site's repository, or choose versions that it has."
            )

    def apt_arguments(self) -> list[str]:
        """Arguments for apt: packages to install, and with a dash behind them packages to remove."""
        arguments = [name if version == ANY else f"{name}={version}" for name, version in self.differing().items()]
        return arguments + [f"{name}-" for name in self.obsolete]

    def rehearse(self) -> None:
        """Refuse an installation that fails, or removes a package that is not obsolete."""
        arguments = self.apt_arguments()
        code, out, err = self.run([*INSTALL, "--simulate", *arguments])
        removed = set(re.findall(r"^Remv (\S+)", out, re.MULTILINE)) - set(self.obsolete)
        if code or removed:
            raise Refused(
                f"Found that {' '.join(arguments)} cannot be installed together "
                f"({_problems(out + err) if code else 'it would remove ' + ', '.join(sorted(removed))}), needed an "
                "installation that removes nothing else. Make the versions agree, or name what may be removed in the "
                "role's list of replaced packages (docs/operate/dgx-os.md)."
            )

    def change(self) -> None:
        """Install in one transaction, with everything downloaded before."""
        arguments = self.apt_arguments()
        code, out, err = self.run([*INSTALL, "--download-only", *arguments])
        if code:
            raise Refused(
                f"Found packages that cannot be fetched whole ({_problems(out + err)}), needed files that have the "
                "size and the sum that the repository's lists give. Copy them to the site's repository again."
            )
        code, out, err = self.run([*INSTALL, *arguments])
        if code:
            raise Refused(
                f"Found an installation of {' '.join(arguments)} that failed ({_problems(out + err)}), needed one that "
                "succeeds. Repair what it names and run again: it continues from there."
            )

    def finish_interrupted(self) -> None:
        """Let dpkg finish an interrupted run."""
        if any(state[1] not in "nic" for state, _ in self.states.values()):
            self.run(["dpkg", "--configure", "--pending"], check_rc=True)
            self.states = self._read()


def _problems(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.startswith(("E:", "W:", "Err:", "dpkg: error"))]
    return " ".join(dict.fromkeys(lines))[:600] or text.strip()[-300:]
