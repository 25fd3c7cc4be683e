"""The dedicated management interface, one test for each scenario of the specification (R-DMI-01 to
18), and the firewall's rules: stock SNMP clients on both networks, our process between them.

The tests of a class go on where the one before ended: an interface is switched on, services move
to it, an administrator locks himself out and is let in by the serial console.
"""

import re

import management
import netns
import pytest
from management import (LAN1, LAN3, LAN3_V6, MANAGER, MANAGER_FAR, SILENCE_S, is_cut_off, reaches,
                        sip_options, snmp, ssh_greets)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with management.Site(tmp_path_factory.mktemp("dmi")) as made:
        yield made


class TestDmi:
    def test_is_off_by_default(self, site):
        assert "Network DMI Mode: Off" in site.ask("xStatus Network DMI")
        assert reaches(site.phone, LAN1)
        assert is_cut_off(site.manager, LAN3)

    def test_needs_an_address_and_a_static_global_one_of_ipv6(self, site):
        site.refuse("Network DMI Mode: On")
        site.refuse("Network DMI IPv6 Address: fe80::9")
        site.refuse("Network DMI IPv6 Address: ff02::9")
        site.refuse("Network DMI IPv4 Address: 10.77.0.9")  # LAN1's subnet

    def test_takes_effect_with_a_restart(self, site):
        site.set(f"Network DMI IPv4 Address: {LAN3}")
        site.set(f"Network DMI IPv6 Address: {LAN3_V6}")
        site.set("Network DMI MTU: 1400")
        site.set("Network DMI Mode: On")
        assert "changes at the next restart" in site.ask("xStatus Network DMI")
        assert "20105" in site.ask("xStatus Alarm")
        assert is_cut_off(site.manager, LAN3)
        site.restart()
        assert "Network DMI Mode: On" in site.ask("xStatus Network DMI")
        netns.wait_for(lambda: reaches(site.manager, LAN3), 20, "SNMP on LAN3")

    def test_stage_one_serves_management_on_every_port(self, site):
        assert reaches(site.phone, LAN1)
        assert reaches(site.manager, LAN3)
        assert reaches(site.manager, f"udp6:[{LAN3_V6}]")

    def test_has_its_own_mtu(self, site):
        assert re.search(r"Network Port 3.*mtu.?[=:] ?1400", site.ask("xStatus Network Port"),
                         re.IGNORECASE)
        # What we send is cut to it: a ping of 1,372 bytes and headers is the largest whole packet.
        ping = site.manager.run("ping", "-c1", "-W3", "-s", "1372", "-M", "do", LAN3, check=False)
        assert ping.returncode == 0, ping.stdout

    def test_serves_nothing_but_management(self, site):
        assert "SIP/2.0" in sip_options(site.phone, "10.77.0.11", LAN1)
        assert sip_options(site.manager, MANAGER, LAN3, SILENCE_S) == "silence"
        assert "LAN3" not in re.search(r"Firewall Service SIP: udp.*",
                                       site.ask("xStatus Firewall")).group(0)

    def test_stage_two_is_immediate_for_snmp(self, site):
        site.set("SNMP DMI Only: On")
        assert is_cut_off(site.phone, LAN1)
        assert reaches(site.manager, LAN3)
        status = site.ask("xStatus Firewall")
        assert re.search(r"Firewall Service SNMP: udp/161 interfaces=LAN3\s", status), status

    def test_is_not_switched_off_while_a_service_is_served_there_alone(self, site):
        said = site.refuse("Network DMI Mode: Off")
        assert "SNMP DMI Only: Off" in said

    def test_clients_go_by_it_to_its_subnet(self, site):
        listener = management.Listener(site.manager, MANAGER, 514)
        site.set(f"Syslog Server 1 Address: {MANAGER}")
        source, message = listener.take()
        assert source == LAN3
        assert b"edge1" in message

    def test_clients_go_by_it_beyond_its_subnet_with_a_static_route(self, site):
        site.set("Network Route 1 Destination: 192.0.2.0/24")
        site.set(f"Network Route 1 Gateway: {MANAGER}")
        site.set("Network Route 1 Port: 3")
        listener = management.Listener(site.manager, MANAGER_FAR, 514)
        site.set(f"Syslog Server 1 Address: {MANAGER_FAR}")
        source, _ = listener.take()
        assert source == LAN3
        site.set("Syslog Server 1 Address:")

    def test_managers_beyond_its_subnet_need_the_route(self, site):
        far = ("--clientaddr=" + MANAGER_FAR, LAN3, management.SYS_NAME)
        assert "edge1" in snmp(site.manager, *far)
        site.set("Network Route 1 Gateway:")
        assert snmp(site.manager, *far) is None
        site.set(f"Network Route 1 Gateway: {MANAGER}")
        assert "edge1" in snmp(site.manager, *far)

    def test_administration_only_there_closes_the_other_ports_at_once(self, site):
        assert ssh_greets(site.phone, LAN1) and ssh_greets(site.manager, LAN3)
        site.set("Administration DMI Only: On")
        assert not ssh_greets(site.phone, LAN1, SILENCE_S)
        assert ssh_greets(site.manager, LAN3)
        assert "SSH=Yes" in site.ask("xStatus Network DMI")
        ssh = re.search(r"Firewall Service SSH: (.*)", site.ask("xStatus Firewall")).group(1)
        assert "LAN1" not in ssh and "LAN2" not in ssh
        said = site.refuse("Network DMI Mode: Off")
        assert "Administration DMI Only: Off" in said
        site.set("Administration DMI Only: Off")
        assert ssh_greets(site.phone, LAN1)

    def test_the_serial_console_lets_a_locked_out_administrator_in(self, site):
        management.ip("-n", site.manager.namespace, "link", "set", netns.INTERFACE, "down")
        assert is_cut_off(site.phone, LAN1)  # nobody can reach it any more
        site.set("Administration DMI Only: On")
        assert not ssh_greets(site.phone, LAN1, SILENCE_S)
        site.set("Administration DMI Only: Off")
        assert ssh_greets(site.phone, LAN1)
        site.set("SNMP DMI Only: Off")
        assert reaches(site.phone, LAN1)
        site.set("Network DMI Mode: Off")
        site.restart()
        assert "Network DMI Mode: Off" in site.ask("xStatus Network DMI")
        netns.wait_for(lambda: reaches(site.phone, LAN1), 20, "SNMP on LAN1")


class TestFirewall:
    def test_a_rule_drops_by_service_interface_and_source_and_counts(self, site):
        site.set("Firewall Rule 1 Service: SNMP")
        site.set("Firewall Rule 1 Interface: LAN1")
        site.set("Firewall Rule 1 Source: 10.77.0.0/24")
        site.set("Firewall Rule 1 Mode: On")
        assert is_cut_off(site.phone, LAN1)
        line = re.search(r"Firewall Rule 1: .*", site.ask("xStatus Firewall")).group(0)
        assert "drop udp/161 interfaces=LAN1" in line
        assert int(re.search(r"matched=(\d+)", line).group(1)) >= 2
        assert "SIP/2.0" in sip_options(site.phone, "10.77.0.11", LAN1)

    def test_a_rejected_client_is_told_at_once(self, site):
        site.set("Firewall Rule 4 Service: SSH")
        site.set("Firewall Rule 4 Action: Reject")
        site.set("Firewall Rule 4 Interface: LAN1")
        site.set("Firewall Rule 4 Mode: On")
        code = ("import socket\n"
                f"try: socket.create_connection(('{LAN1}', 22), 5); print('open')\n"
                "except ConnectionRefusedError: print('refused')\n"
                "except OSError as error: print(error)")
        assert site.phone.run("python3", "-c", code).stdout == "refused\n"
        site.set("Firewall Rule 4 Service: Ping")
        ping = site.phone.run("ping", "-c2", "-i0.2", "-W1", LAN1, check=False).stdout
        assert "Packet filtered" in ping, ping
        assert re.search(r"Firewall Rule 4: reject ping .*matched=2", site.ask("xStatus Firewall"))
        site.set("Firewall Rule 4 Mode: Off")

    def test_the_rule_of_least_priority_decides(self, site):
        site.set("Firewall Rule 2 Service: SNMP")
        site.set("Firewall Rule 2 Source: 10.77.0.11/32")
        site.set("Firewall Rule 2 Action: Allow")
        site.set("Firewall Rule 2 Priority: 50")
        site.set("Firewall Rule 2 Mode: On")
        assert reaches(site.phone, LAN1)
        site.set("Firewall Rule 2 Priority: 200")
        assert is_cut_off(site.phone, LAN1)
        site.set("Firewall Rule 1 Mode: Off")
        site.set("Firewall Rule 2 Mode: Off")
        assert reaches(site.phone, LAN1)

    def test_a_rate_limits_echo_requests(self, site):
        site.set("Firewall Rule 3 Service: Ping")
        site.set("Firewall Rule 3 Action: Allow")
        site.set("Firewall Rule 3 Rate: 5")
        site.set("Firewall Rule 3 Mode: On")
        ping = site.phone.run("ping", "-c40", "-i0.02", "-W1", LAN1, check=False).stdout
        received = int(re.search(r"(\d+) received", ping).group(1))
        assert 5 <= received <= 15, ping
        site.set("Firewall Rule 3 Mode: Off")
        site.set("Firewall Ping: Off")
        assert site.phone.run("ping", "-c1", "-W1", LAN1, check=False).returncode != 0
        site.set("Firewall Ping: On")

    def test_a_blocked_address_reaches_nothing_until_it_is_lifted(self, site):
        assert "OK" in site.ask("xCommand Firewall Block: 10.77.0.11 600")
        assert is_cut_off(site.phone, LAN1)
        assert sip_options(site.phone, "10.77.0.11", LAN1, SILENCE_S) == "silence"
        assert re.search(r"Firewall Blocked 10.77.0.11: all services seconds_left=5\d\d",
                         site.ask("xStatus Firewall"))
        site.ask("xCommand Firewall Unblock: 10.77.0.11")
        assert reaches(site.phone, LAN1)
        assert "ERROR" in site.ask("xCommand Firewall Unblock: 10.77.0.11")
        assert "ERROR" in site.ask("xCommand Firewall Block: nobody")
