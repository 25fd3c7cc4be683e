#!/usr/bin/python3
"""Two ICE agents of libnice that may use nothing but relays of one TURN server: they find each
other, and each sends the other numbered datagrams. Prints one line: how many came to either side,
and the types of the candidates in use. Run by test_turn.py in the client's namespace.

    libnice_pair.py SERVER PORT udp|tcp USER PASSWORD COUNT
"""

import ctypes
import sys

import gi

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice  # noqa: E402  pylint: disable=wrong-import-position

TIMEOUT_S = 40
# The one call that introspection leaves out. An object's hash is its address.
ON_DATA = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint,
                           ctypes.c_void_p, ctypes.c_void_p)
ATTACH = ctypes.CDLL("libnice.so.10").nice_agent_attach_recv
ATTACH.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ON_DATA,
                   ctypes.c_void_p]
KINDS = {"udp": Nice.RelayType.UDP, "tcp": Nice.RelayType.TCP}


class Side:
    def __init__(self, context, controlling, server):
        address, port, kind, user, password = server
        self.agent = Nice.Agent.new(context, Nice.Compatibility.RFC5245)
        self.agent.set_property("force-relay", True)
        self.agent.set_property("upnp", False)
        self.agent.set_property("controlling-mode", controlling)
        self.stream = self.agent.add_stream(1)
        self.agent.set_relay_info(self.stream, 1, address, int(port), user, password, KINDS[kind])
        self.got, self.ready, self.gathered, self.types = set(), False, False, "none"
        self.on_data = ON_DATA(self.take)
        assert ATTACH(hash(self.agent), self.stream, 1, None, self.on_data, None)
        self.agent.connect("candidate-gathering-done", self.on_gathered)
        self.agent.connect("component-state-changed", self.on_state)
        self.agent.connect("new-selected-pair-full", self.on_pair)

    def take(self, _agent, _stream, _component, size, data, _user):
        self.got.add(ctypes.string_at(data, size))

    def on_gathered(self, *_):
        self.gathered = True

    def on_state(self, _agent, _stream, _component, state):
        self.ready = state == Nice.ComponentState.READY

    def on_pair(self, _agent, _stream, _component, local, remote):
        self.types = f"{local.type.value_nick}-{remote.type.value_nick}"

    def meet(self, other):
        _, name, password = other.agent.get_local_credentials(other.stream)
        self.agent.set_remote_credentials(self.stream, name, password)
        candidates = other.agent.get_local_candidates(other.stream, 1)
        self.agent.set_remote_candidates(self.stream, 1, candidates)


def main():
    *server, count = sys.argv[1:]
    context = GLib.MainContext.default()
    sides = [Side(context, True, server), Side(context, False, server)]
    late = []
    GLib.timeout_add_seconds(TIMEOUT_S, lambda: late.append(True) or False)

    def turn_until(condition):
        while not condition() and not late:
            context.iteration(True)

    for side in sides:
        side.agent.gather_candidates(side.stream)
    turn_until(lambda: all(side.gathered for side in sides))
    sides[0].meet(sides[1])
    sides[1].meet(sides[0])
    turn_until(lambda: all(side.ready for side in sides))
    sent = 0

    def send():
        nonlocal sent
        for side in sides:
            text = f"{sent} of many"
            side.agent.send(side.stream, 1, len(text), text)
        sent += 1
        return sent < int(count)

    GLib.timeout_add(5, send)
    turn_until(lambda: all(len(side.got) == int(count) for side in sides))
    print("received", *(len(side.got) for side in sides), *(side.types for side in sides))


if __name__ == "__main__":
    main()
