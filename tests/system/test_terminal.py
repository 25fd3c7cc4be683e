"""The console as a person sees it: a terminal of 80 by 24, drawn by tmux from what the Linux
process sends. Completion, history and paging leave the screen as it should look.
"""

import subprocess
import time

import pytest

import host as host_board
import operator_console

COLUMNS, ROWS = 80, 24


class Screen:
    """A tmux server of our own with one window."""

    def __init__(self, folder, command):
        self.socket = str(folder / "tmux")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS),
                  command)

    def tmux(self, *words):
        return subprocess.run(["tmux", "-S", self.socket, *words], text=True, check=True,
                              capture_output=True, timeout=20).stdout

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def line(self, text):
        self.tmux("send-keys", "-l", text)
        self.type("Enter")

    def rows(self):
        return [row.rstrip() for row in self.tmux("capture-pane", "-p").split("\n")[:ROWS]]

    def wait(self, condition, what):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            rows = self.rows()
            if condition(rows):
                return rows
            time.sleep(0.05)
        raise AssertionError(f"the screen never showed {what}:\n" + "\n".join(self.rows()))

    def last(self, text):
        """Waits until the last row that is not empty is this."""
        return self.wait(lambda rows: ([row for row in rows if row] or [""])[-1] == text, text)


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "provision").write_text(operator_console.PROVISION, encoding="utf-8")
    made = Screen(folder, f"{host_board.PROGRAM} --no-mlock --console stdio"
                          f" --store {folder}/store --log {folder}/log"
                          f" --crash-record {folder}/crash --provision {folder}/provision")
    made.wait(lambda rows: any(row.startswith("edge1 login:") for row in rows), "the log-in prompt")
    made.line("admin")
    made.last("password:")
    made.line(operator_console.PASSWORD)
    made.last("edge1>")
    yield made
    made.tmux("kill-server")


def test_a_word_is_completed(screen):
    screen.type("C-l")
    screen.tmux("send-keys", "-l", "xConf")
    screen.type("Tab")
    screen.last("edge1> xConfiguration")
    screen.tmux("send-keys", "-l", "SIP UDP Po")
    screen.type("Tab")
    screen.last("edge1> xConfiguration SIP UDP Port:")
    screen.type("C-u")


def test_help_lists_what_may_follow_and_keeps_the_line(screen):
    screen.tmux("send-keys", "-l", "xConfiguration SIP UDP ")
    screen.tmux("send-keys", "-l", "?")
    screen.wait(lambda rows: any(row.strip().startswith("Port") for row in rows), "the help")
    rows = screen.last("edge1> xConfiguration SIP UDP")  # drawn anew behind it
    assert any(row.strip().startswith("Mode") for row in rows), rows
    assert all(len(row) <= COLUMNS for row in rows)
    screen.type("C-u")


def test_history_brings_lines_back_and_edits_them(screen):
    screen.line("xConfiguration SIP UDP Mode")
    screen.last("edge1>")
    screen.line("xConfiguration SIP TCP Mode")
    screen.last("edge1>")
    screen.type("Up", "Up")
    screen.last("edge1> xConfiguration SIP UDP Mode")
    screen.type("Down")
    screen.last("edge1> xConfiguration SIP TCP Mode")
    screen.type("M-b", "M-b", "C-k")
    screen.tmux("send-keys", "-l", "UDP Port")
    screen.type("Enter")
    screen.wait(lambda rows: any("SIP UDP Port: 5060" in row for row in rows), "its answer")
    screen.last("edge1>")


def test_a_long_line_scrolls_sideways_on_its_row(screen):
    text = "xConfiguration // " + "abcdefghij" * 9
    screen.tmux("send-keys", "-l", text)
    rows = screen.wait(lambda rows: ([row for row in rows if row] or [""])[-1].endswith("ghij"),
                       "the end of the line")
    assert sum("abcdefghij" in row for row in rows) == 1, rows
    screen.type("C-u")
    screen.last("edge1>")


def test_a_listing_stops_at_every_page(screen):
    screen.type("C-l")
    screen.line("xConfiguration")
    rows = screen.wait(lambda rows: any(row.startswith("--More--") for row in rows), "--More--")
    assert rows[ROWS - 1].startswith("--More--") or rows[ROWS - 2].startswith("--More--"), rows
    before = [row for row in rows if row.startswith("*c")]
    screen.type("Space")
    rows = screen.wait(lambda rows: [row for row in rows if row.startswith("*c")] != before
                       and any(row.startswith("--More--") for row in rows), "the next page")
    assert sum("--More--" in row for row in rows) == 1, rows
    screen.tmux("send-keys", "-l", "q")
    screen.last("edge1>")
