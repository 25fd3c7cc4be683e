"""A test for each house rule: what it must catch, what it must let pass; then the tree itself."""

import pytest
import tidy

BODY_71 = "int Long(int a) {\n" + "  a++;\n" * 69 + "}\n"
BODY_70 = "int Fits(int a) {\n" + "  a++;\n" * 68 + "}\n"

CAUGHT = [
    ("columns", "hal/a.cc", "x" * 101 + "\n"),
    ("whitespace", "hal/a.cc", "int a; \n"),
    ("whitespace", "hal/a.cc", "\tint a;\n"),
    ("whitespace", "hal/a.cc", "int a;"),
    ("head_comment", "hal/none.cc", "int a;\n"),
    ("leftovers", "hal/a.cc", "// TO" "DO: the rest\n"),
    ("machine_paths", "tests/a.py", f"open('{tidy.ROOT}/x')\n"),
    ("machine_paths", "tests/a.py", "open('/ho" "me/me/x')\n"),
    ("machine_paths", "image/a.sh", "wget http://deb.deb" "ian.org/x\n"),
    ("function_length", "hal/a.cc", BODY_71),
    ("function_length", "hal/a.cc", "class A {\n void F() const {\n" + ";\n" * 70 + "}\n};\n"),
    ("function_length", "hal/a.cc", "A::A(int b)\n  : b_(b) {\n" + ";\n" * 70 + "}\n"),
    ("function_length", "tests/a.py", "def f():\n" + "    pass\n" * 70),
    ("banned", "net/a.cc", "strcpy(a, b);\n"),
    ("banned", "net/a.cc", "void* p = malloc(3);\n"),
    ("banned", "net/a.cc", "auto* p = new Thing(3);\n"),
    ("banned", "net/a.cc", "delete p;\n"),
    ("banned", "net/a.cc", "delete[] p;\n"),
    ("banned", "net/a.cc", "std::string name;\n"),
    ("banned", "net/a.cc", "#include <iostream>\n"),
    ("banned", "net/a.cc", "throw 3;\n"),
    ("banned", "net/a.cc", "assert(a);\n"),
    ("banned", "net/a.cc", "puts(__DATE__);\n"),
    ("arrows", "hal/a.cc", '#include "net/address.h"\n'),
    ("arrows", "crypto/a.cc", '#include "image/manifest.h"\n'),
    ("arrows", "net/a.cc", '#include "firmware/appliance.h"\n'),
    ("arrows", "boot/a.cc", '#include "firmware/appliance.h"\n'),
    ("arrows", "firmware/sip/a.cc", '#include "board/pc/console.h"\n'),
    ("arrows", "board/pc/a.cc", '#include "board/host/console.h"\n'),
    ("arrows", "net/a.cc", '#include "tests/support/a.h"\n'),
    ("doors", "firmware/a.cc", '#include "net/lwip/port.h"\n'),
    ("doors", "firmware/log/a.cc", '#include "firmware/sip/parser/a.h"\n'),
    ("engines", "firmware/sip/a.cc", "#include <lwip/tcp.h>\n"),
    ("engines", "firmware/sip/a.cc", "#include <sys/socket.h>\n"),
    ("engines", "firmware/sip/a.cc", '#include "net/stack.h"\n'),
    ("services", "firmware/calls/a.cc", '#include "firmware/appliance.h"\n'),
    ("services", "firmware/sip/a.cc", '#include "firmware/calls/call_service.h"\n'),
    ("services", "firmware/trust/a.cc", '#include "firmware/messaging/xmpp_service.h"\n'),
    ("services", "firmware/calls/a.cc", '#include "firmware/messaging/xmpp_service.h"\n'),
    ("include_paths", "hal/a.h", "int a;\n"),
    ("include_paths", "hal/a.cc", '#include "../net/a.h"\n'),
    ("include_paths", "hal/a.cc", '#include "a.h"\n'),
]

PASSED = [
    ("columns", "hal/a.cc", "x" * 100 + "\n"),
    ("whitespace", "hal/hal.mk", "all:\n\ttrue\n"),
    ("head_comment", "hal/a.h", "// What it is.\n#pragma once\n"),
    ("machine_paths", "tests/a.py", "open('/tmp/x')\n"),
    ("function_length", "hal/a.cc", BODY_70),
    ("function_length", "hal/a.cc", "namespace a {\n" + "int x;\n" * 90 + "}\n"),
    ("function_length", "hal/a.cc", "struct A {\n" + "int x;\n" * 90 + "};\n"),
    ("banned", "net/a.cc", "// strcpy(a, b) would be wrong here\n"),
    ("banned", "net/a.cc", 'Print("throw away; new Thing");\n'),
    ("banned", "net/a.cc", "new (place) Thing();\n"),
    ("banned", "net/a.cc", "void operator delete(void*) noexcept;\n"),
    ("banned", "net/a.cc", "Thing& operator=(const Thing&) = delete;\n"),
    ("banned", "net/a.cc", "std::string_view name = pool.free(a);\n"),
    ("banned", "net/a.cc", "GH_ASSERT(a); static_assert(b);\n"),
    ("banned", "tests/unit/net/a_test.cc", "std::string name;\n"),
    ("banned", "image/tool/sign.cc", "#include <string>\n"),
    ("arrows", "board/pc/a.cc", '#include "firmware/appliance.h"\n'),
    ("arrows", "firmware/sip/a.cc", '#include "hal/rt/result.h"\n'),
    ("arrows", "tests/unit/net/a.cc", '#include "firmware/appliance.h"\n'),
    ("doors", "net/a.cc", '#include "hal/rt/result.h"\n'),
    ("doors", "net/stack.cc", '#include "net/lwip/port.h"\n'),
    ("engines", "firmware/sip/a.cc", '#include "net/datagram.h"\n'),
    ("services", "firmware/a.cc", '#include "firmware/appliance.h"\n'),
    ("services", "firmware/calls/a.cc", '#include "firmware/trust/tls_services.h"\n'),
    ("services", "firmware/trust/a.cc", '#include "firmware/trust/tls_services.h"\n'),
    ("services", "firmware/trust/a.cc", '#include "firmware/keys/key_store.h"\n'),
    ("include_paths", "hal/a.cc", '#include "version.h"\n#include "hal/a.h"\n'),
]


def rule(name):
    return next(rule for rule in tidy.RULES if rule.__name__ == name)


@pytest.mark.parametrize("name, path, text", CAUGHT)
def test_catches(name, path, text):
    assert list(rule(name)(tidy.File(path, text)))


@pytest.mark.parametrize("name, path, text", PASSED)
def test_lets_pass(name, path, text):
    assert not list(rule(name)(tidy.File(path, text)))


@pytest.mark.parametrize("name", [rule.__name__ for rule in tidy.RULES])
def test_every_rule_is_tested(name):
    assert any(name == tested for tested, _, _ in CAUGHT)


def test_finds_dead_files():
    texts = {"hal/a.cc": "", "hal/b.cc": "", "hal/b.h": "", "hal/c.h": '#include "hal/b.h"\n'}
    found = dict(tidy.dead_files(texts, ["hal/a.cc"], texts))
    assert found == {"hal/b.cc": "is in no build", "hal/c.h": "is included by nothing"}


def test_exceptions_name_rules_that_exist():
    rules = {rule.__name__ for rule in tidy.RULES} | {"dead_files"}
    assert {name for name, _ in tidy.EXCEPTIONS} <= rules
    assert all(tidy.EXCEPTIONS.values())


def test_the_tree_keeps_the_rules():
    offences = tidy.check_tree()
    assert not offences, "\n" + "\n".join(offences)
