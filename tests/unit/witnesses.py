"""What the READMEs' tables stand on: the tests there are, and the tests that a text names."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def there_are():
    """Names of all tests: Suite.Case of C++, test_x of Python, x_fuzz."""
    names = {source.stem for source in (ROOT / "tests/fuzz").glob("*_fuzz.cc")}
    for source in (ROOT / "tests").rglob("*.cc"):
        text = source.read_text(encoding="utf-8")
        names |= {f"{suite}.{case}" for suite, case in
                  re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", text, re.M)}
    for source in (*(ROOT / "tests/system").glob("test_*.py"),
                   *(ROOT / "tests/unit").glob("*/test_*.py")):
        names |= set(re.findall(r"^def (test_\w+)\(", source.read_text(encoding="utf-8"), re.M))
    return names


def named(text):
    return set(re.findall(r"`([A-Z]\w+\.[A-Z]\w+|test_\w+|\w+_fuzz)`", text))


def missing(text):
    return named(text) - there_are()
