"""ejabberd as Debian has it, without installing it: that would start a daemon. With it the parts
of Erlang it needs."""

import json
import os
import pathlib
import subprocess

PACKAGES = ["ejabberd", "libodbc2", *(f"erlang-{name}" for name in (
    "base asn1 crypto mnesia runtime-tools public-key ssl inets odbc os-mon syntax-tools base64url "
    "goldrush unicode-util-compat idna xmerl jiffy jose lager tools p1-utils p1-yaml p1-yconf "
    "p1-acme p1-cache-tab p1-eimp p1-mqtree p1-pkix p1-stringprep p1-tls p1-stun p1-xml p1-zlib "
    "p1-xmpp").split())]
LIBRARIES = "usr/lib/x86_64-linux-gnu"
CONFIGURATION = """\
hosts: {hosts}
host_config: {host_config}
loglevel: debug
certfiles: {certificates}
ca_file: "{authority}"
listen:
  - {{port: 5222, ip: "{address}", module: ejabberd_c2s}}
  - {{port: 5269, ip: "{address}", module: ejabberd_s2s_in}}
s2s_use_starttls: {tls}
auth_method: internal
auth_password_format: plain
modules:
  mod_roster: {{}}
  mod_disco: {{}}
  mod_ping: {{}}
  mod_version: {{}}
  mod_s2s_dialback: {{}}
  mod_muc: {{host: "rooms.@HOST@"}}
  mod_caps: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
"""


def unpack(folder):
    """The root that the packages lie in."""
    done = subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, capture_output=True,
                          text=True, check=False)
    packages = sorted(folder.glob("*.deb"))
    if done.returncode != 0 or len(packages) < len(PACKAGES):
        raise AssertionError(f"ejabberd's packages cannot be had: {done.stderr}")
    for package in packages:
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    return folder / "root"


def command(root, folder, configuration):
    """The words that run Erlang with ejabberd's parts, and their environment."""
    erlang = root / "usr/lib/erlang"
    binaries = next(erlang.glob("erts-*")) / "bin"
    environment = {
        **os.environ, "ROOTDIR": str(erlang), "BINDIR": str(binaries), "EMU": "beam",
        "PROGNAME": "erl", "LD_LIBRARY_PATH": str(root / LIBRARIES),
        "ERL_LIBS": str(root / LIBRARIES), "EJABBERD_CONFIG_PATH": str(configuration),
        "EJABBERD_LOG_PATH": str(folder / "log"), "HOME": str(folder)}
    return [binaries / "erlexec", "-noinput", "-mnesia", "dir", f'"{folder}/db"'], environment


def start(root, host, domain, dns, *, certificates, authority, others=None):
    """ejabberd on a host, for a domain that requires TLS and `others` (what each makes of TLS by
    name), with a user bob in each; returns its folder (log)."""
    folder = pathlib.Path(root).parent / domain
    folder.mkdir()
    others = others or {}
    (folder / "ejabberd.yml").write_text(CONFIGURATION.format(
        hosts=json.dumps([domain, *others]), address=host.address, authority=authority,
        host_config=json.dumps({name: {"s2s_use_starttls": tls} for name, tls in others.items()}),
        certificates=json.dumps([str(each) for each in certificates]), tls="required"),
        encoding="utf-8")
    # A namespace's processes have mounts of their own.
    (folder / "resolv.conf").write_text(f"nameserver {dns}\n")
    words, environment = command(root, folder, folder / "ejabberd.yml")
    users = ", ".join(f'ejabberd_auth:try_register(<<"bob">>, <<"{name}">>, <<"secret">>)'
                      for name in (domain, *others))
    host.start("sh", "-c", 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"', "sh",
               folder / "resolv.conf", *words, "-eval",
               f"application:ensure_all_started(ejabberd), {users}.", env=environment,
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder
