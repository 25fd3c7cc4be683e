"""A third kind of stock phone (twinkle-console of Debian) in a network namespace, driven by its
console: it publishes and watches presence, acknowledges provisional responses (RFC 3262) and goes
by Service-Route (RFC 3608). It has no sound: calls to it ring and are given up.

    with twinkle.Phone(folder, host, "tina", DOMAIN, "secret", "10.77.0.2", ["theo"]) as one:
        one.say("presence -b offline")
"""

import console_phone

PORT = 5070  # another phone may have the host's 5060
ACCOUNT = """\
user_name={user}
user_domain={domain}
auth_realm={domain}
auth_name={user}
auth_pass={password}
outbound_proxy={server}
all_requests_to_proxy=no
registrar={server}
register_at_startup=yes
registration_time=600
codecs=g711u
sip_transport=udp
ext_100rel=preferred
pres_publish_startup={publishes}
"""
SYSTEM = f"""\
dev_ringtone=alsa:default
dev_speaker=alsa:default
dev_mic=alsa:default
validate_audio_dev=no
play_ringtone=no
play_ringback=no
log_max_size=5
log_show_sip=yes
log_show_debug=yes
sip_port={PORT}
"""
NO_SOUND = "pcm.!default { type null }\nctl.!default { type null }\n"


def answer(status, method):
    """The pattern of a response in its log; "---" ends each message."""
    return rf"SIP/2\.0 {status} (?:(?!\n---)[\s\S])*?\nCSeq: \d+ {method}\n"


class Phone(console_phone.ConsolePhone):
    """Its messages, and what it makes of them, are read from its log."""

    def __init__(self, folder, host, user, domain, password, server, watches=(), publishes=True):
        super().__init__(folder / f"twinkle-{user}", host, user, server, ".twinkle/twinkle.log")
        self.account = ACCOUNT.format(user=user, domain=domain, password=password, server=server,
                                      publishes="yes" if publishes else "no")
        self.buddies = "".join(f"{name}|sip:{name}@{domain}|y\n" for name in watches)

    def start(self):
        own = self.home / ".twinkle"
        own.mkdir(parents=True)
        (own / f"{self.user}.cfg").write_text(self.account, encoding="ascii")
        (own / f"{self.user}.bud").write_text(self.buddies, encoding="ascii")
        (own / "twinkle.sys").write_text(SYSTEM, encoding="ascii")
        (self.home / ".asoundrc").write_text(NO_SOUND, encoding="ascii")
        self.begin("twinkle-console", f"{self.user}.cfg")

    def register(self):
        self.wait(answer(200, "REGISTER"))

    def leave(self):
        """As its user does: nothing of it stays at the server."""
        self.say("quit")
        self.process.wait(40)
