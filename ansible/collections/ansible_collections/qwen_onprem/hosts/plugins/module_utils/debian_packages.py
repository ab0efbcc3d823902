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


ANY = "*"  # in the place of a version: whichever the site's repository holds, and not held


class Refused(Exception):
    """The host stays as it is; the text says what was found, what is needed and what to do."""


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
        """Package to its state (wanted and found, such as `hi` for held and installed) and its version."""
        _, listed, _ = self.run(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\t${Package}\t${Version}\n"])
        rows = [line.split("\t") for line in listed.splitlines()]
        return {name: (state, version) for state, name, version in rows}

    def before(self) -> dict[str, str]:
        names = [*self.wanted, *self.obsolete]
        return {name: self.states[name][1] for name in names if self.states.get(name, ("un", ""))[0][1] == "i"}

    def differing(self) -> dict[str, str]:
        """What is not installed at its version."""
        found = {name: version for name, (state, version) in self.states.items() if state[1] == "i"}
        return {
            name: version
            for name, version in self.wanted.items()
            if name not in found or version not in (ANY, found[name])
        }

    def pinned(self) -> list[str]:
        """Packages that have one version and are held at it."""
        return [name for name, version in self.wanted.items() if version != ANY]

    def unheld(self) -> list[str]:
        return [name for name in self.pinned() if self.states.get(name, ("un", ""))[0][0] != "h"]

    def missing(self) -> list[str]:
        """What no package list of the host offers at its version, each with the versions that are on offer."""
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

    def asked(self) -> list[str]:
        """What apt is asked for: packages to install, those that give way with a dash behind them."""
        asked = [name if version == ANY else f"{name}={version}" for name, version in self.differing().items()]
        return asked + [f"{name}-" for name in self.obsolete]

    def rehearse(self) -> None:
        """Refuse what cannot be installed together, or would take anything away but what may give way."""
        asked = self.asked()
        code, out, err = self.run([*INSTALL, "--simulate", *asked])
        removed = set(re.findall(r"^Remv (\S+)", out, re.MULTILINE)) - set(self.obsolete)
        if code or removed:
            raise Refused(
                f"Found that {' '.join(asked)} cannot be installed together "
                f"({_problems(out + err) if code else 'it would remove ' + ', '.join(sorted(removed))}), needed an "
                "installation that takes nothing else away. Make the versions agree, or name what may give way in the "
                "role's list of replaced packages (docs/operate/dgx-os.md)."
            )

    def change(self) -> None:
        """Install in one transaction, with everything downloaded before."""
        asked = self.asked()
        code, out, err = self.run([*INSTALL, "--download-only", *asked])
        if code:
            raise Refused(
                f"Found packages that cannot be fetched whole ({_problems(out + err)}), needed files that have the "
                "size and the sum that the repository's lists give. Copy them to the site's repository again."
            )
        code, out, err = self.run([*INSTALL, *asked])
        if code:
            raise Refused(
                f"Found an installation of {' '.join(asked)} that failed ({_problems(out + err)}), needed one that "
                "ends. Mend what it names and run again: it goes on from there."
            )

    def finish_interrupted(self) -> None:
        """Let dpkg go on where a run was cut off."""
        if any(state[1] not in "nic" for state, _ in self.states.values()):
            self.run(["dpkg", "--configure", "--pending"], check_rc=True)
            self.states = self._read()


def _problems(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.startswith(("E:", "W:", "Err:", "dpkg: error"))]
    return " ".join(dict.fromkeys(lines))[:600] or text.strip()[-300:]
