-- The peer of xmpp_race.py: as Debian ships it, with what a server for chat has on; accounts and
-- archives in files, nothing logged but warnings.
run_as_root = true
pidfile = "@folder@/pid"
data_path = "@folder@/data"
log = { warn = "@folder@/log" }
interfaces = { "@address@" }
c2s_ports = { }
c2s_direct_tls_ports = { 5223 }
modules_enabled = { "roster", "saslauth", "tls", "disco", "presence", "message", "iq", "c2s", @more@ }
modules_disabled = { "s2s" }
ssl = { key = "@folder@/server.key", certificate = "@folder@/server.pem" }
authentication = "internal_hashed"
password_hash = "SHA-256"
storage = "internal"
limits = { }
c2s_tcp_keepalives = false
default_archive_policy = true
max_archive_query_results = 50
VirtualHost "@domain@"
Component "rooms.@domain@" "muc"
  muc_room_locking = true
  max_history_messages = 100
