"""TLS between `holdfast backup now` and real servers: what is accepted, and that each refusal has its own words."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from peers.backup import Folder, check_file, now
from peers.ca import Ca, Cert
from peers.etcd import Etcd
from peers.hub import record_of
from peers.openssl import SServer
from peers.versions import programs

AT_ONCE_S = 9  # a refusal is one: it does not wait for the deadline, which is 10 s


@pytest.fixture(scope="module")
def kept_etcd(tmp_path_factory, server_cert):
    """TLS 1.2 and 1.3, client certificates required."""
    with Etcd(tmp_path_factory.mktemp("kept"), tls=server_cert) as etcd:
        etcd.start().gateway().put_many([(b"key", b"value")])
        yield etcd


@pytest.fixture
def hub_of(make_hub):
    """A configuration for the endpoint, with an earlier snapshot in its destination."""
    def make(url: str, **how):
        hub = make_hub(endpoints=[url], **how)
        earlier = hub.backups / "etcd-snapshot-20200101-000000.db"
        earlier.write_bytes(b"earlier")
        record_of(earlier).write_text('{"name":"%s","verdict":"good","level":4,"bytes":7}' % earlier.name)
        os.utime(earlier, (1577836800, 1577836800))
        return hub

    return make


def assert_good(hub) -> None:
    done = now(hub)
    assert done.code == 0, done.said
    check_file(hub.snapshots()[-1])


def assert_refused(hub, *words: str) -> None:
    kept = Folder(hub.backups)
    done = now(hub)
    assert done.code == 1, done.said
    for word in (*words, hub.config["backup"]["etcd"]["endpoints"][0] if words else ""):
        assert word in done.said, done.said
    assert done.said.count("\n") == 1, done.said
    assert done.took < AT_ONCE_S, done.said
    kept.assert_untouched()


# --- versions

@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("etcd_version", ["3.5", pytest.param("3.7", marks=pytest.mark.cluster)])
def test_one_tls_version(version, etcd_version, start_etcd, hub_of):
    etcd = start_etcd(etcd_version, tls_min=version, tls_max=version)
    etcd.fill(50, big=0)
    assert_good(hub_of(etcd.url))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("etcd_version", ["3.5", pytest.param("3.7", marks=pytest.mark.cluster)])
def test_one_tls_version_and_no_client_certificate(version, etcd_version, start_etcd, hub_of, ca, other_ca):
    etcd = start_etcd(etcd_version, tls_min=version, tls_max=version)
    assert_refused(hub_of(etcd.url, client=None, ca=ca.cert), "peer refused our certificate or wants one",
                   "we have no certificate to show")
    stranger = other_ca.client(f"stranger-{version}-{etcd_version}")
    assert_refused(hub_of(etcd.url, client=stranger, ca=ca.cert), "peer refused our certificate or wants one")


def test_plaintext(start_etcd, hub_of):
    assert_good(hub_of(start_etcd(tls=None).url, client=None))


def test_no_client_certificate_where_none_is_wanted(start_etcd, hub_of, ca):
    assert_good(hub_of(start_etcd(client_auth=False).url, client=None, ca=ca.cert))


# --- keys and names

@pytest.mark.parametrize("server", ["rsa", "p256", "p384"])
@pytest.mark.parametrize("client", ["rsa", "p384"])
def test_kinds_of_keys(server, client, start_etcd, hub_of, ca):
    etcd = start_etcd(tls=ca.server(f"server-{server}", kind=server))
    assert_good(hub_of(etcd.url, client=ca.client(f"client-{client}", kind=client)))


@pytest.mark.parametrize("kind", ["rsa", "p384"])
def test_kinds_of_authorities(kind, tmp_path, start_etcd, hub_of):
    authority = Ca(tmp_path / "ca", "another kind of CA", kind)
    etcd = start_etcd(tls=authority.server("server"))
    assert_good(hub_of(etcd.url, client=authority.client("client")))


@pytest.mark.parametrize("names,host,good", [
    (["127.0.0.1"], "127.0.0.1", True),
    (["localhost"], "localhost", True),
    (["127.0.0.1", "localhost"], "localhost", True),
    (["localhost"], "127.0.0.1", False),
    (["127.0.0.1"], "localhost", False),
    (["10.0.0.1"], "127.0.0.1", False),
    (["other.example"], "localhost", False),
    ([], "127.0.0.1", False),
], ids=lambda value: ",".join(value) or "none" if isinstance(value, list) else None)
def test_names(names, host, good, start_etcd, hub_of, ca):
    etcd = start_etcd(tls=ca.server("name-" + "-".join(names), names))
    hub = hub_of(f"https://{host}:{etcd.port}")
    if good:
        assert_good(hub)
    else:
        assert_refused(hub, "peer's certificate is for another name")


# --- what the server shows

@pytest.mark.parametrize("which,words", [
    ("expired", ["peer's certificate is expired or not yet valid"]),
    ("future", ["peer's certificate is expired or not yet valid"]),
])
def test_dates(which, words, start_etcd, hub_of, ca):
    etcd = start_etcd(tls=ca.server(f"server-{which}", **{which: True}))
    assert_refused(hub_of(etcd.url), *words)


def test_an_unknown_authority(kept_etcd, hub_of, other_ca):
    assert_refused(hub_of(kept_etcd.url, ca=other_ca.cert), "peer's certificate is not signed by the CA")


def test_no_authority_named(kept_etcd, hub_of):
    hub = hub_of(kept_etcd.url)
    del hub.config["backup"]["etcd"]["ca"]
    kept = Folder(hub.backups)
    done = now(hub)
    assert done.code == 2 and "backup.etcd.ca" in done.said
    kept.assert_untouched()


@pytest.mark.parametrize("which", ["expired", "future"])
def test_our_certificate_is_out_of_date(which, kept_etcd, hub_of, ca):
    assert_refused(hub_of(kept_etcd.url, client=ca.client(f"client-{which}", **{which: True})),
                   "peer refused our certificate or wants one")


# --- our files

def test_the_key_is_of_another_certificate(kept_etcd, hub_of, ca, client_cert):
    other = ca.client("client-other")
    mixed = Cert(client_cert.cert, other.key, client_cert.ca)
    kept = Folder((hub := hub_of(kept_etcd.url, client=mixed)).backups)
    done = now(hub)
    assert done.code == 1 and "the private key does not belong to the certificate" in done.said, done.said
    assert str(mixed.cert) in done.said and str(mixed.key) in done.said
    kept.assert_untouched()


@pytest.mark.parametrize("which", ["ca", "cert", "key"])
@pytest.mark.parametrize("content,words", [
    (None, ["not there"]),
    (b"", ["not valid"]),
    (b"hello", ["not valid"]),
    (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ["not valid"]),
    (b"x" * 300_000, ["out of range or too large"]),
], ids=["missing", "empty", "no-pem", "broken", "huge"])
def test_our_files_are_unreadable(which, content, words, kept_etcd, hub_of):
    hub = hub_of(kept_etcd.url)
    file = hub.folder / f"broken-{which}.pem"
    if content is not None:
        file.write_bytes(content)
    hub.config["backup"]["etcd"][which] = str(file)
    kept = Folder(hub.backups)
    done = now(hub)
    assert done.code == 1, done.said
    for word in [*words, str(file)]:
        assert word in done.said, done.said
    assert done.took < AT_ONCE_S, done.said
    kept.assert_untouched()


def test_a_folder_in_place_of_a_file(kept_etcd, hub_of):
    hub = hub_of(kept_etcd.url)
    hub.config["backup"]["etcd"]["key"] = str(hub.folder)
    done = now(hub)
    assert done.code == 1 and str(hub.folder) in done.said, done.said


def test_a_secret_is_never_told(kept_etcd, hub_of, client_cert):
    """A key in the certificate's place fails, and not a line of it is in the message."""
    hub = hub_of(kept_etcd.url)
    hub.config["backup"]["etcd"]["cert"] = str(client_cert.key)
    done = now(hub)
    assert done.code == 1
    assert not any(line in done.said for line in client_cert.key.read_text().split("\n")[1:-2])


# --- others than etcd

@pytest.mark.parametrize("args", [[], ["-alpn", "http/1.1"]], ids=["no-alpn", "http1"])
def test_a_server_without_http2(args, server_cert, hub_of, tmp_path):
    with SServer(tmp_path / "server", server_cert, *args) as server:
        hub = hub_of(f"https://127.0.0.1:{server.port}")
        kept = Folder(hub.backups)
        done = now(hub)
    assert done.code == 1 and ("ALPN" in done.said or "alert 120" in done.said), done.said
    assert done.took < AT_ONCE_S, done.said
    kept.assert_untouched()


@pytest.mark.parametrize("args,words", [
    (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["TLS"]),
    (["-tls1_2", "-cipher", "AES128-SHA256"], ["TLS"]),
    (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"], ["TLS"]),
], ids=["tls1.1", "no-forward-secrecy", "cbc"])
def test_weak_servers_are_refused(args, words, ca, hub_of, tmp_path):
    with SServer(tmp_path / "server", ca.server("weak", kind="rsa"), *args) as server:
        assert_refused(hub_of(f"https://127.0.0.1:{server.port}"), *words)


def test_plaintext_behind_https_and_tls_behind_http(kept_etcd, hub_of):
    assert_refused(hub_of(f"https://127.0.0.1:{kept_etcd.back_port}"), "TLS")
    assert_refused(hub_of(f"http://127.0.0.1:{kept_etcd.port}"), "HTTP/2")
