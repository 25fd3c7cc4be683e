"""The scenarios of test_dmi.py on the booted image, and SNMP's: the same tests, by a real machine's
three Ethernet ports and its serial console."""

import management
import pytest
from test_dmi import TestDmi  # noqa: F401 (collected here again)
from test_snmp import (  # noqa: F401
    test_alarms_are_told_by_v2_traps, test_interfaces_are_those_of_the_machine,
    test_nothing_is_written, test_v2c_reads_the_system_group, test_v3_users_read)
from test_snmp import PROVISION


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with management.Site(tmp_path_factory.mktemp("image"), PROVISION, board="image") as made:
        yield made
