"""A list of items as an SPDX 2.3 document (JSON), for tools that keep inventories of software."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from mirror.item import Item
from mirror.systems import RELEASES

UNKNOWN = "NOASSERTION"
DOCUMENT = "SPDXRef-DOCUMENT"
HOSTS = {"apt": "pkg:deb", "wheel": "pkg:pypi", "image": "pkg:oci", "tool": "pkg:generic", "model": "pkg:huggingface"}

UBUNTU = {release for system, release in RELEASES.items() if system.startswith("Ubuntu")}


def document(items: Sequence[Item], name: str) -> str:
    """One package for each item but keys, with its digest where that is known (of a wheel, where there is one file)."""
    packages = [_package(item, number) for number, item in enumerate(items, 1) if item.kind in HOSTS]
    described = [
        {"spdxElementId": DOCUMENT, "relationshipType": "DESCRIBES", "relatedSpdxElement": package["SPDXID"]}
        for package in packages
    ]
    created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": DOCUMENT,
            "name": name,
            "documentNamespace": f"urn:uuid:{uuid4()}",
            "creationInfo": {"created": created, "creators": ["Tool: qwen-mirror"]},
            "packages": packages,
            "relationships": described,
        },
        indent=1,
    )


def _package(item: Item, number: int) -> dict[str, Any]:
    version = item.version or (item.name.rpartition(":")[2] if item.kind == "image" and ":" in item.name else "")
    package: dict[str, Any] = {
        "SPDXID": f"SPDXRef-{item.kind}-{number}",
        "name": item.name,
        "downloadLocation": item.source if re.match(r"https?://\S+$", item.source) else UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "comment": f"at the site: {item.at}; for: {item.used_by}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": _purl(item, version),
            }
        ],
    }
    if version:
        package["versionInfo"] = version
    digests = [item.digest] if item.digest else item.digests if len(item.digests) == 1 else ()
    if digests:
        package["checksums"] = [
            {"algorithm": "SHA256", "checksumValue": digest.removeprefix("sha256:")} for digest in digests
        ]
    return package


def _purl(item: Item, version: str) -> str:
    """The item as a package URL: kind, name, version, and for Debian packages the release."""
    name = item.name.partition(":")[0]
    qualifiers = ""
    if item.kind == "apt":
        name = f"{'ubuntu' if item.group in UBUNTU else 'debian'}/{name}"
        qualifiers = f"?arch=amd64&distro={item.group}" if item.group else "?arch=amd64"
    elif item.kind == "image":
        qualifiers = f"?repository_url={quote(item.repository, safe='')}"
        name = name.rpartition("/")[2]
    at = f"@{quote(version, safe='')}" if version else ""
    return f"{HOSTS[item.kind]}/{quote(name, safe='/')}{at}{qualifiers}"
