"""The test runner itself: it must count right, and never call a broken suite a success."""

import fcntl
import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

RUN = pathlib.Path(__file__).resolve().parents[2] / "run"

REPORT = """<testsuites><testsuite name="s">{}</testsuite></testsuites>"""
GOOD = '<testcase classname="A" name="Good" status="run"/>'
BAD = '<testcase classname="A" name="Bad" status="run"><failure message="no"/></testcase>'
SKIPPED = '<testcase classname="A" name="Later" status="run" result="skipped"><skipped/></testcase>'


class Tree:
    """A checkout with made-up test programs."""

    def __init__(self, root):
        self.root = root

    def program(self, folder, cases, status=0, said=""):
        source = self.root / f"tests/unit/{folder}/{folder}_test.cc"
        source.parent.mkdir(parents=True)
        source.touch()
        script = ["#!/bin/sh", f"cat <<'SAID'\n{said}\nSAID"]
        if cases is not None:
            report = REPORT.format("".join(cases))
            script.append(f"cat >${{1#--gtest_output=xml:}} <<'REPORT'\n{report}\nREPORT")
        self.executable(f"out/asan/tests/{folder}_test", [*script, f"exit {status}"])

    def fuzzer(self, name, status):
        source = self.root / f"tests/fuzz/{name}.cc"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.touch()
        self.executable(f"out/fuzz/bin/{name}", ["#!/bin/sh", f"exit {status}"])

    def system(self, name, *lines):
        source = self.root / f"tests/system/test_{name}.py"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("\n".join(lines) + "\n")

    def executable(self, path, lines):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o755)

    def run(self, *groups):
        environment = dict(os.environ, TEST_ROOT=str(self.root))
        done = subprocess.run(
            [sys.executable, RUN, *groups], env=environment, capture_output=True, text=True
        )
        assert not done.stderr
        return done.returncode, done.stdout.splitlines()


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_success_is_status_0_and_the_sum_alone_on_the_last_line(tree):
    tree.program("one", [GOOD, GOOD])
    tree.program("two", [GOOD])
    status, lines = tree.run()
    assert (status, lines[-1]) == (0, "3 passed, 0 failed")


def test_a_failing_test_is_named_with_its_log(tree):
    tree.program("one", [GOOD, BAD], status=1)
    status, lines = tree.run()
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")
    at = lines.index("FAILED one_test: A.Bad (out/test/one_test.log)")
    assert lines[at + 1] == "    no"


def test_why_a_program_failed_is_told_on_one_short_line(tree):
    told = "a_test.cc:7&#x0A;Expected equality of these values:&#x0A;  1&#x0A;  2"
    bad = f'<testcase classname="A" name="Bad"><failure message="{told}"/><failure/></testcase>'
    long = f'<testcase classname="A" name="Long"><failure message="{"x" * 999}"/></testcase>'
    tree.program("one", [bad, long], status=1)
    lines = tree.run()[1]
    assert "    a_test.cc:7 Expected equality of these values: 1 2" in lines
    assert "    " + "x" * run_script().REASON_MAX in lines


def test_why_a_system_test_failed_is_told(tree):
    tree.system("broken", "import pytest", "@pytest.fixture", "def world():",
                "    assert 2 == 3, 'no world'", "def test_sum():", "    assert 1 + 1 == 3, 'so'",
                "def test_world(world): pass")
    lines = tree.run()[1]
    assert "    AssertionError: so assert (1 + 1) == 3" in lines
    assert any("no world" in line and "failed on setup" in line for line in lines)


def test_skipped_tests_are_told_apart(tree):
    tree.program("one", [GOOD, SKIPPED])
    assert tree.run()[1][-1] == "1 passed, 0 failed, 1 skipped"


def test_only_skipped_tests_are_no_success(tree):
    tree.program("one", [SKIPPED])
    assert tree.run()[0] == 1


def test_a_crash_is_a_failure_of_the_test_it_was_in(tree):
    said = ("[ RUN      ] A.Good\n[       OK ] A.Good (0 ms)\n[ RUN      ] A.Boom\n"
            "==7==ERROR: AddressSanitizer: stack-overflow\n    #0 0x1 in Boom")
    tree.program("one", None, status=139, said=said)
    status, lines = tree.run()
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")
    assert any("died in A.Boom" in line for line in lines)
    assert "    ==7==ERROR: AddressSanitizer: stack-overflow" in lines


def test_an_old_report_does_not_hide_a_crash(tree):
    tree.program("one", None, status=1)
    (tree.root / "out/test").mkdir(parents=True)
    (tree.root / "out/test/one_test.xml").write_text(REPORT.format(GOOD))
    assert tree.run()[0] == 1


def test_a_bad_exit_status_after_good_tests_is_a_failure(tree):
    tree.program("one", [GOOD], status=1)
    assert tree.run()[1][-1] == "1 passed, 1 failed"


def test_a_suite_without_tests_is_a_failure(tree):
    tree.program("one", [])
    assert tree.run()[1][-1] == "0 passed, 1 failed"


def test_a_program_that_was_not_built_is_a_failure(tree):
    tree.program("one", [GOOD])
    (tree.root / "out/asan/tests/one_test").unlink()
    assert tree.run()[1][-1] == "0 passed, 1 failed"


def test_nothing_to_run_is_no_success(tree):
    status, lines = tree.run()
    assert (status, lines[-1]) == (1, "0 passed, 1 failed")


def test_a_second_run_beside_the_first_is_refused(tree):
    tree.program("one", [GOOD])
    (tree.root / "out/test").mkdir(parents=True, exist_ok=True)
    with (tree.root / "out/test/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, lines = tree.run("one")
    assert status == 1
    assert lines == ["FAILED another test run is under way in this checkout"]


def test_an_unknown_group_is_a_failure(tree):
    tree.program("one", [GOOD])
    status, lines = tree.run("one", "typo")
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")


def run_script():
    loader = importlib.machinery.SourceFileLoader("run", str(RUN))
    script = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
    sys.modules["run"] = script  # dataclasses look their module up
    loader.exec_module(script)
    return script


def test_every_suite_that_a_group_names_is_there():
    script = run_script()
    here = {suite.name for suite in script.find_suites()}
    for group, names in script.GROUPS_BY_NAME.items():
        assert names <= here, f"{group}: {sorted(names - here)}"


def test_groups_pick_suites(tree):
    tree.program("one", [GOOD])
    tree.program("two", [BAD], status=1)
    assert tree.run("one")[1][-1] == "1 passed, 0 failed"
    assert tree.run("unit")[1][-1] == "1 passed, 1 failed"
    assert tree.run("first-light")[1][-1] == "1 passed, 1 failed"


def test_a_fuzzer_fails_by_finding_and_the_canary_by_not_finding(tree):
    tree.fuzzer("wire_fuzz", 77)
    tree.fuzzer("canary_fuzz", 77)
    assert tree.run("fuzz")[1][-1] == "1 passed, 1 failed"
    tree.fuzzer("wire_fuzz", 0)
    tree.fuzzer("canary_fuzz", 0)
    status, lines = tree.run("fuzz")
    assert lines[-1] == "1 passed, 1 failed"
    assert any("canary_fuzz: found nothing" in line for line in lines)


# Fails the first time, as what hangs on the clock does.
UNSTEADY = ("import pathlib", "def test_late():", "    mark = pathlib.Path('mark')",
            "    seen = mark.exists()", "    mark.touch()", "    assert seen")


def test_a_system_test_gets_a_second_try_and_is_named(tree):
    tree.system("clock", *UNSTEADY, "def test_good(): pass")
    status, lines = tree.run()
    assert (status, lines[-1]) == (0, "2 passed, 0 failed")
    assert "AGAIN system/test_clock" in lines
    assert any(line.startswith("UNSTEADY system/test_clock: tests.system.test_clock.test_late")
               for line in lines)
    assert (tree.root / "out/test/system_test_clock.first.log").exists()


def test_a_system_test_that_fails_twice_has_failed(tree):
    tree.system("broken", "def test_bad(): assert False", "def test_good(): pass")
    status, lines = tree.run()
    assert (status, lines[-1]) == (1, "1 passed, 1 failed")
    assert lines.count("AGAIN system/test_broken") == 1


def test_many_cases_of_one_machine_get_a_second_try_of_the_whole_suite(tree):
    tree.system("clock", "import pathlib, pytest",
                "@pytest.fixture(scope='module')", "def machine():",
                "    mark = pathlib.Path('mark')", "    seen = mark.exists()", "    mark.touch()",
                "    return {'late': not seen, 'trusted': False}",
                "def test_first(machine): machine['trusted'] = True",
                "@pytest.mark.parametrize('case', range(5))",
                "def test_next(machine, case):",
                "    assert machine['trusted'] and not machine['late']")
    status, lines = tree.run()
    assert (status, lines[-1]) == (0, "6 passed, 0 failed")
    assert sum(line.startswith("UNSTEADY system/test_clock") for line in lines) == 5


def test_when_many_suites_fail_none_gets_a_second_try(tree):
    most = run_script().AGAIN_SUITES_MAX
    tree.system("clock", "def test_bad(): assert False")
    for number in range(most - 1):
        tree.program(f"many{number}", [BAD], status=1)
    assert "AGAIN system/test_clock" in tree.run()[1]
    tree.program("one", [BAD], status=1)
    assert not any(line.startswith("AGAIN") for line in tree.run()[1])


def test_what_is_tried_again_hangs_on_how_long_it_took_and_how_much_failed():
    script = run_script()
    suite = script.Suite("system", "system/test_a", "tests/system/test_a.py", set())

    def again(count, seconds):
        failures = [f"tests.system.test_a.test_{number}" for number in range(count)]
        return script.cases_again(suite, script.Outcome(failures=failures, seconds=seconds))

    few, many = script.AGAIN_MANY - 1, script.AGAIN_MANY
    assert again(0, 1) is None
    assert again(few, script.AGAIN_WHOLE_S - 1) == []
    assert len(again(few, script.AGAIN_WHOLE_S)) == few
    assert again(many, script.AGAIN_MANY_WHOLE_S - 1) == []
    assert len(again(many, script.AGAIN_MANY_WHOLE_S)) == many
    assert again(script.AGAIN_CASES_MAX, 1) == []
    assert again(script.AGAIN_CASES_MAX + 1, 1) is None


def test_a_program_gets_no_second_try(tree):
    tree.program("one", [GOOD, BAD], status=1)
    assert not any(line.startswith("AGAIN") for line in tree.run()[1])


def test_a_system_suite_that_does_not_load_gets_no_second_try(tree):
    tree.system("torn", "import nothing_of_this_name")
    status, lines = tree.run()
    assert (status, lines[-1]) == (1, "0 passed, 1 failed")
    assert not any(line.startswith("AGAIN") for line in lines)


def test_suites_that_wait_run_beside_the_others(tree):
    mark = tree.root / "mark"
    tree.system("certificates", "import pathlib, time", "def test_waits():",
                "    end = time.monotonic() + 60",
                f"    while not pathlib.Path({str(mark)!r}).exists():",
                "        assert time.monotonic() < end",
                "        time.sleep(0.05)")
    tree.system("other", "import pathlib", "def test_ends_it():",
                f"    pathlib.Path({str(mark)!r}).touch()")
    status, lines = tree.run("--jobs", "1")
    assert (status, lines[-1]) == (0, "2 passed, 0 failed")
