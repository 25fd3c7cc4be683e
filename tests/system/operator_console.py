"""An administrator at the serial console: logs in, asks, pages through what is printed."""

import re
import time

PASSWORD = "Gate-house-42"
# Provisioning that makes this administrator; the prompt is "edge1> ".
PROVISION = f"""\
xConfiguration System Name: edge1
xConfiguration Administrator 1 Name: admin
xConfiguration Administrator 1 Password: {PASSWORD}
"""
PROMPT = r"edge1> "
CONTROLS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def log_in(machine):
    machine.expect(r"edge1 login: ", timeout=60)
    machine.send("admin\r")
    machine.expect(r"password: ")
    machine.send(PASSWORD + "\r")
    machine.expect(PROMPT)
    time.sleep(1)  # notices of the boot, which draw the prompt again


def log_in_late(machine, password=PASSWORD):
    """Where the prompt may have been printed, and drawn over by notices, long ago."""
    machine.send("\r")
    machine.expect(r"login: ?(\x1b\[K)?$")
    machine.send("admin\r")
    machine.expect(r"[Pp]assword: ?(\r|\x1b\[K)?$")
    machine.send(password + "\r")
    machine.expect(r"^\S*[>#] ?$")


def ask(machine, line):
    """What the line prints, without the terminal's controls; a listing is paged through."""
    begin = len(machine.console)
    machine.position = begin
    machine.send(line + "\r")
    machine.expect(r"\n")
    # Before the line was taken, a prompt is one that a notice drew anew, or the line's scrolling.
    taken = re.compile(re.escape(line[-6:]) + r"\r?\n")
    is_taken = False
    while not is_taken:
        if machine.expect(rf"--More--|{PROMPT}").group(0) == "--More--":
            machine.send(" ")
        else:  # what was drawn anew has the terminal's controls in the midst of a word
            is_taken = taken.search(CONTROLS.sub("", machine.console[begin:machine.position]))
    return re.sub(r"--More--( \(.*?\) ?)?|\r", "", CONTROLS.sub("", machine.console[begin:]))
