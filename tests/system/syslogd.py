"""A stock rsyslog in a network namespace, writing what it receives as it was sent."""

from pathlib import Path

import netns

CONFIG = """\
global(workDirectory="{folder}" maxMessageSize="16k")
module(load="imudp")
module(load="imtcp" maxSessions="20")
template(name="asSent" type="string" string="%rawmsg%\\n")
template(name="parsed" type="string"
  string="%fromhost-ip%|%pri%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\\n")
input(type="imudp" port="{udp}")
input(type="imtcp" port="{tcp}")
{tls}*.* action(type="omfile" file="{folder}/raw.log" template="asSent")
*.* action(type="omfile" file="{folder}/parsed.log" template="parsed")
"""
# imtcp has one stream driver; the plain one of module(...) stays for the other port.
TLS = """\
input(type="imtcp" port="{port}" streamDriver.name="ossl" streamDriver.mode="1"
  streamDriver.authMode="anon" streamDriver.CAFile="{ca}" streamDriver.CertFile="{certificate}"
  streamDriver.KeyFile="{key}")
"""


class Rsyslog:
    udp_port, tcp_port, tls_port = 514, 601, 6514

    def __init__(self, folder, host, tls=None):
        """`tls`: files of the CA, the certificate and its key; then TLS is served as well."""
        self.folder, self.host, self.tls = Path(folder) / "rsyslog", host, tls

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def start(self):
        tls = ""
        if self.tls is not None:
            ca, certificate, key = self.tls
            tls = TLS.format(port=self.tls_port, ca=ca, certificate=certificate, key=key)
        config = self.folder / "rsyslog.conf"
        config.write_text(CONFIG.format(folder=self.folder, udp=self.udp_port, tcp=self.tcp_port,
                                        tls=tls), encoding="ascii")
        self.process = self.host.start("rsyslogd", "-n", "-f", config, "-i", self.folder / "pid")

    def kill(self):
        """Without a word: an outage."""
        self.process.kill()
        self.process.wait()
        (self.folder / "pid").unlink(missing_ok=True)

    def __exit__(self, *_):
        self.host.stop()

    def lines(self, kind="parsed"):
        path = self.folder / f"{kind}.log"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return text.splitlines()

    def wait(self, *words, timeout=15):
        """Waits for one received message that holds all `words`; the message."""
        find = lambda: next((l for l in self.lines() if all(w in l for w in words)), None)
        return netns.wait_for(find, timeout, f"a syslog message with {words}; have "
                              + "\n".join(self.lines()[-20:]))
