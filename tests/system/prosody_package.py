"""Prosody as Debian has it, without installing it: that would start a daemon. With it what it
needs (Lua and its libraries), and dnsmasq for the names of a test."""

import os
import pathlib
import subprocess

PACKAGES = ["prosody", "lua5.4", "liblua5.4-0", "lua-expat", "lua-socket", "lua-sec",
            "lua-filesystem", "dnsmasq-base", "libnetfilter-conntrack3",
            "libnfnetlink0"]
LIBRARIES = "usr/lib/x86_64-linux-gnu"
MODULES = ["roster", "saslauth", "tls", "dialback", "disco", "ping", "presence", "message", "iq",
           "s2s", "c2s", "version", "smacks", "pep"]
# Its own resolver, asking for A and AAAA at once, may hang until something else wakes it.
CONFIGURATION = """\
run_as_root = true
pidfile = "{folder}/pid"
data_path = "{folder}/data"
log = {{ debug = "{folder}/log" }}
interfaces = {{ "{address}" }}
component_interfaces = {{ "{address}" }}
s2s_direct_tls_ports = {{ 5270 }}
modules_enabled = {{ {modules} }}
modules_disabled = {{ {disabled} }}
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
use_ipv6 = false
{options}
VirtualHost "{domain}"
Component "rooms.{domain}" "muc"
  muc_room_locking = false
Component "push.{domain}"
  component_secret = "secret"
"""


def unpack(folder):
    """The root that the packages lie in."""
    done = subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, capture_output=True,
                          text=True, check=False)
    packages = sorted(folder.glob("*.deb"))
    if done.returncode != 0 or len(packages) < len(PACKAGES):
        raise AssertionError(f"Prosody's packages cannot be had: {done.stderr}")
    for package in packages:
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    script = (folder / "root/usr/bin/prosody").read_text(encoding="utf-8")
    for name in ("/usr/lib/prosody", "/etc/prosody", "/var/lib/prosody"):
        script = script.replace(f"'{name}", f"'{folder}/root{name}")
    (folder / "prosody.lua").write_text(script, encoding="utf-8")
    return folder / "root"


def environment(root):
    places = f"{root}/usr/share/lua/5.4/?.lua;{root}/usr/share/lua/5.4/?/init.lua"
    return {**os.environ, "LD_LIBRARY_PATH": f"{root}/{LIBRARIES}", "LUA_PATH_5_4": places,
            "LUA_CPATH_5_4": f"{root}/{LIBRARIES}/lua/5.4/?.so"}


def start_prosody(root, host, domain, dns, *, users, options="", without=()):
    """Prosody on a host, for one domain and rooms below it; returns its folder (log, data)."""
    folder = pathlib.Path(root).parent / domain
    accounts = folder / "data" / domain.replace(".", "%2e") / "accounts"
    accounts.mkdir(parents=True)
    for user in users:
        (accounts / f"{user}.dat").write_text('return { ["password"] = "secret"; };\n')
    quoted = ", ".join(f'"{name}"' for name in MODULES + ["s2s_bidi"] if name not in without)
    (folder / "config.lua").write_text(CONFIGURATION.format(
        folder=folder, address=host.address, domain=domain, options=options,
        modules=quoted, disabled=", ".join(f'"{name}"' for name in without)), encoding="utf-8")
    # A namespace's processes have mounts of their own.
    (folder / "resolv.conf").write_text(f"nameserver {dns}\n")
    host.start("sh", "-c", 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"', "sh",
               folder / "resolv.conf", root / "usr/bin/lua5.4",
               pathlib.Path(root).parent / "prosody.lua", "-F", "--config",
               folder / "config.lua", env=environment(root), stdout=subprocess.DEVNULL,
               stderr=(folder / "errors").open("wb"))
    return folder


def start_dns(root, host, *, addresses, services):
    """dnsmasq: `addresses` by name, `services` as (name, target, port)."""
    words = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             "--user=root", "--pid-file=", f"--listen-address={host.address}", "--bind-interfaces"]
    words += [f"--host-record={name},{address}" for name, address in addresses.items()]
    words += [f"--srv-host={name},{target},{port}" for name, target, port in services]
    host.start(root / "usr/sbin/dnsmasq", *words, "--local=/#/", env=environment(root),
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
