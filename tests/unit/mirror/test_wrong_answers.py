"""A page in place of what was asked for, and a certificate of another time: both are named, at either end."""

from __future__ import annotations

import datetime
import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from qwen_runtime.errors import Error

from mirror.bring.packages import publish
from mirror.carry import bundle
from mirror.fill.folder import fill as fill_folder
from mirror.item import KINDS, Item
from mirror.upstream import Upstream
from tests.fakes import site_mirror
from tests.fakes.site_mirror import SiteMirror
from tests.support.asked_site import Settings, fill
from tests.support.debian import make_package

PAGE = b"<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>"
MESSAGE = b'{"message": "log in at the portal"}'
SITE = "registry.example.internal"
CLOCK = "This machine's clock says 2"
ASKED = [kind for kind in KINDS if kind != "key"]


class Page(BaseHTTPRequestHandler):
    """A proxy that answers everything with a page of its own, or a message, and says that all is well."""

    def do_GET(self) -> None:
        page = MESSAGE if "/message/" in self.path else PAGE
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if page is MESSAGE else "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(page)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def proxy() -> Iterator[str]:
    """The address of such a proxy."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SiteMirror]:
    """An upstream repository with the lists of one package."""
    site_mirror._make_key(tmp_path)
    monkeypatch.setenv("GNUPGHOME", str(tmp_path / "gnupg"))
    made = SiteMirror(tmp_path)
    made.write_apt([kubelet("")])
    yield made
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], check=False)


def kubelet(url: str) -> Item:
    return Item("apt", "jammy", "kubelet", "", f"{url} jammy", version="1.0-1")


def table(mirror: SiteMirror, url: str, key: str = "") -> Upstream:
    """Addresses with one repository of packages, and the fingerprint of the mirror's key."""
    shown = subprocess.run(["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True).stdout
    [fingerprint, *_] = re.findall(r"^fpr:+(\w+):", shown, re.MULTILINE)
    row = {"url": url, "suites": ["jammy"], "components": ["main"], "systems": ["Ubuntu-22.04"]}
    row |= {"key": key or str(mirror.key), "fingerprint": fingerprint}
    file = mirror.folder / "upstream.yml"
    file.write_text(yaml.safe_dump({"apt": {"ubuntu": row}}))
    return Upstream(file=file)


def refused(items: list[Item], out: Path, upstream: Upstream, remedy: str = "") -> str:
    """The words of `fill`, whose remedy begins so; the folder does not count as whole."""
    with pytest.raises(Error) as problem:
        fill_folder(items, SITE, out, upstream, {})
    assert re.fullmatch(rf"found:  .+\nneeded: .+\nremedy: {re.escape(remedy)}.+", str(problem.value))
    assert not (out / bundle.NAME).exists()
    return problem.value.found


def test_a_page_in_place_of_a_key_is_refused(repository: SiteMirror, proxy: str, tmp_path: Path) -> None:
    url = f"file:{repository.folder}/apt"
    upstream = table(repository, url, key=f"http://{proxy}/key.asc")
    assert "keys none" in refused([kubelet(url)], tmp_path / "out", upstream)


def test_a_page_in_place_of_lists_is_refused(repository: SiteMirror, proxy: str, tmp_path: Path) -> None:
    url = f"http://{proxy}/apt"
    found = refused([kubelet(url)], tmp_path / "out", table(repository, url))
    assert f"Failed to fetch {url}/dists/jammy/InRelease" in found


def test_a_page_in_place_of_a_package_is_not_kept_and_a_rerun_fetches_the_package(
    repository: SiteMirror, tmp_path: Path
) -> None:
    """The lists come from another machine than the files, as at most projects."""
    pool, url = repository.folder / "apt/pool/jammy", f"file:{repository.folder}/apt"
    make_package(pool, "kubelet")
    lists = repository.folder / "apt/dists/jammy"
    packages = subprocess.run(
        ["apt-ftparchive", "packages", "pool"], cwd=repository.folder / "apt", check=True, capture_output=True
    )
    (lists / "main/binary-amd64/Packages").write_bytes(packages.stdout)
    (lists / "InRelease").unlink()
    site_mirror._sign(repository.folder, lists, "jammy")
    package = pool / "kubelet_1.0-1_amd64.deb"
    content = package.read_bytes()
    package.write_bytes(PAGE)
    found = refused([kubelet(url)], tmp_path / "out", table(repository, url))
    assert f"{package.name}  Hash Sum mismatch" in found
    package.write_bytes(content)
    fill_folder([kubelet(url)], SITE, tmp_path / "out", table(repository, url), {})
    assert (tmp_path / "out/apt/jammy" / package.name).read_bytes() == content


@pytest.mark.parametrize("name", ["pause:1.0", "message/pause:1.0"])
def test_a_page_or_a_message_in_place_of_an_image_is_refused(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plain = tmp_path / "registries.conf"
    plain.write_text(f'[[registry]]\nlocation = "{proxy}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(plain))
    image = Item("image", "", "kubernetes/pause:1.0", f"{SITE}/kubernetes/pause:1.0", f"{proxy}/{name}")
    assert f"image {proxy}/{name}: " in refused([image], tmp_path / "out", Upstream())


def test_a_page_in_place_of_an_archive_or_a_release_file_is_refused(proxy: str, tmp_path: Path) -> None:
    for name in ("engine.tar.gz", "keda.yaml"):
        archive = Item("tool", "", name, "", f"http://{proxy}/{name}")
        assert f"http://{proxy}/{name} begins with b'<" in refused([archive], tmp_path / "out", Upstream())
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_page_in_place_of_an_index_of_wheels_is_refused(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://{proxy}/simple")
    digest = "sha256:" + "0" * 64
    wheel = Item("wheel", "locks/controller.txt, Python 3.12", "thing", "", "", version="1.0", digests=(digest,))
    assert "wheels of locks/controller.txt, Python 3.12: " in refused([wheel], tmp_path / "out", Upstream())


def sign(mirror: SiteMirror, change: Callable[[str], str], *options: str) -> None:
    """Sign the repository's lists again after a change."""
    release = mirror.folder / "apt/dists/jammy/Release"
    release.write_text(change(release.read_text()))
    clear = ["gpg", "--batch", "--yes", *options, "--clearsign", "--output", release.with_name("InRelease"), release]
    subprocess.run(clear, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("field", "said"),
    [("Date: Fri, 01 Jan 2100", "is not valid yet"), ("Valid-Until: Wed, 01 Jan 2020", "is expired")],
)
def test_lists_of_another_time_are_named_where_a_folder_is_filled_and_the_clock_with_them(
    repository: SiteMirror, tmp_path: Path, field: str, said: str
) -> None:
    """A filling machine whose clock is years behind, or ahead; once it is right a rerun goes on."""
    url, name = f"file:{repository.folder}/apt", field.partition(":")[0]
    good = (repository.folder / "apt/dists/jammy/Release").read_text()
    rest = re.sub(rf"(?m)^{name}: .*\n", "", good)
    sign(repository, lambda text: f"{field} 00:00:00 UTC\n{rest}")
    upstream = table(repository, url)
    assert said in refused([kubelet(url)], tmp_path / "out", upstream, CLOCK)
    make_package(repository.folder / "apt/pool/jammy", "kubelet")
    publish(repository.folder / "apt", "jammy", "site")
    fill_folder([kubelet(url)], SITE, tmp_path / "out", upstream, {})


def test_lists_by_a_key_that_has_expired_are_named_where_a_folder_is_filled(
    repository: SiteMirror, tmp_path: Path
) -> None:
    url = f"file:{repository.folder}/apt"
    made, used = ([f"--faked-system-time=20200101T{time}", "--local-user=site"] for time in ("000000", "120000"))
    make = ["gpg", "--batch", "--passphrase", "", made[0], "--quick-generate-key", "expired", "ed25519", "sign", "1d"]
    subprocess.run(make, check=True, capture_output=True)
    export = ["gpg", "--batch", "--yes", "--armor", "--export", "--output", repository.key]
    subprocess.run(list(map(str, export)), check=True, capture_output=True)
    sign(repository, lambda text: text, used[0], "--local-user=expired")
    assert "EXPKEYSIG" in refused([kubelet(url)], tmp_path / "out", table(repository, url), CLOCK)


@contextmanager
def spoiled(apply: Callable[[], object], mend: Callable[[], object]) -> Iterator[None]:
    apply()
    try:
        yield
    finally:
        mend()


def assert_all_named(out: str, *, remedy: str = "") -> None:
    """Each kind is named, with what was found, is needed and remedies it."""
    for kind in ASKED:
        told = rf"(?m)^{kind}.*\n  found:  \S.*\n  needed: \S.*\n  remedy: {re.escape(remedy)}\S"
        assert re.search(told, out), (kind, out[-4000:])


def test_a_mirror_that_answers_with_a_page_has_nothing(
    mirror: SiteMirror, settings: Settings, listed: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the site vouches for no manifest, whose digest would have told."""
    fill(mirror, listed)
    unpinned = tmp_path / "unpinned.yml"
    unpinned.write_text("site_model_manifests: {}\n")
    with spoiled(lambda: setattr(mirror, "page", PAGE), lambda: setattr(mirror, "page", b"")):
        code = settings.check("--extra-vars", unpinned)
    assert code == 1
    assert_all_named(capsys.readouterr().out)


def certificate(folder: Path, begins: datetime.datetime) -> tuple[Path, Path]:
    """A certificate for this machine that is valid for ten days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "site")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(made.public_bytes(form))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "server.key").write_bytes(key.private_bytes(form, *plain))
    return folder / "ca.crt", folder / "server.key"


@pytest.mark.parametrize("year", [2020, 2090])
def test_a_certificate_that_is_not_valid_by_this_clock_is_named_and_the_clock_with_it(
    mirror: SiteMirror,
    settings: Settings,
    listed: list[Item],
    tmp_path: Path,
    year: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A clock that is years ahead sees an expired one, a clock that is years behind one that is not valid yet."""
    fill(mirror, listed)
    chain, key = certificate(tmp_path, datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc))
    trusted = tmp_path / "trusted.yml"
    trusted.write_text(f"site_ca_file: {chain}\n")
    context = mirror.context
    assert isinstance(context, ssl.SSLContext)
    own = mirror.authority, mirror.folder / "server.key"
    with spoiled(lambda: context.load_cert_chain(chain, key), lambda: context.load_cert_chain(*own)):
        code = settings.check("--extra-vars", trusted)
        for variable in ("CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(variable, str(chain))
        [archive, *_] = [replace(item, source=item.at) for item in listed if item.kind == "tool"]
        refused([archive], tmp_path / "out", Upstream(), CLOCK)
        [image, *_] = [replace(item, source=item.at) for item in listed if item.kind == "image"]
        refused([image], tmp_path / "out", Upstream(), CLOCK)
    assert code == 1
    assert_all_named(capsys.readouterr().out, remedy=CLOCK)
