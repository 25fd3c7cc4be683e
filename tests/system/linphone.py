"""A second kind of stock phone (linphonec of Debian) in a network namespace, driven by its console.

    with linphone.Phone(folder, host, "dave", DOMAIN, "secret", "10.77.0.2", tone) as dave:
        dave.say("call sip:bob@example.org")

All it sends goes by the server, as the Route of its account says.
"""

import re
import time

import console_phone
import netns

CONFIG = """\
[sip]
sip_port=5060
sip_tcp_port={tcp}
sip_tls_port=0
default_proxy=0
media_encryption=none
guess_hostname=1
ipv6=0
[rtp]
audio_rtp_port=7078
[video]
enabled=0
display=0
capture=0
automatically_initiate=0
automatically_accept=0
show_local=0
[proxy_0]
reg_proxy=<sip:{server};transport={transport}>
reg_route=<sip:{server};transport={transport};lr>
reg_identity=sip:{user}@{domain}
reg_expires=600
reg_sendregister=1
[auth_info_0]
username={user}
passwd={password}
realm={domain}
"""


class Phone(console_phone.ConsolePhone):
    """Calls and is called; what it says is read from its log."""

    def __init__(self, folder, host, user, domain, password, server, tone, transport="udp"):
        """`tone`: a file of sound, which it sends in place of a microphone's."""
        super().__init__(folder / f"linphone-{user}", host, user, server, "log")
        self.first = ("soundcard use files", "autoanswer enable", f"play {tone}")
        self.config = CONFIG.format(tcp=-1 if transport == "tcp" else 0, server=server, user=user,
                                    domain=domain, password=password, transport=transport)

    def start(self):
        (self.home / ".local/share/linphone").mkdir(parents=True)
        (self.home / "rc").write_text(self.config, encoding="ascii")
        self.begin("linphonec", "-c", self.home / "rc", "-d", "2", "-l", self.log)

    def register(self):
        self.wait("SIP network reachability state is now .UP.")
        for line in self.first:
            self.say(line)
        self.wait("LinphoneRegistrationOk")

    def call(self, uri):
        """Dials; the number that its console has for the call."""
        out = self.home / "out"
        before = len(out.read_text(errors="replace"))
        self.say(f"call {uri}")
        deadline = netns.deadline(40)
        while not (found := re.search(r"assigned id (\d+)",
                                      out.read_text(errors="replace")[before:])):
            assert time.monotonic() < deadline, f"{self.user} does not call"
            time.sleep(0.1)
        return int(found[1])
