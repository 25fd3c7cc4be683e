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
*.* action(type="omfile" file="{folder}/raw.log" template="asSent")
*.* action(type="omfile" file="{folder}/parsed.log" template="parsed")
"""


class Rsyslog:
    udp_port, tcp_port = 514, 601

    def __init__(self, folder, host):
        self.folder, self.host = Path(folder) / "rsyslog", host

    def __enter__(self):
        self.folder.mkdir(parents=True)
        config = self.folder / "rsyslog.conf"
        config.write_text(CONFIG.format(folder=self.folder, udp=self.udp_port, tcp=self.tcp_port),
                          encoding="ascii")
        self.process = self.host.start("rsyslogd", "-n", "-f", config, "-i", self.folder / "pid")
        return self

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
