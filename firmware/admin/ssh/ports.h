// What the SSH engine asks of the house: who may log in, and what runs at the end of a channel.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/ssh/public_key.h"
#include "hal/rt/pool.h"
#include "hal/rt/result.h"
#include "net/address.h"

namespace gh::ssh {

enum class Verdict : uint8_t { kAccepted, kRefused, kPending };

// Calls come while a packet is looked at; they do not block.
class Authenticator {
 public:
  // kPending: the answer comes as Connection::OnPasswordChecked of connection `id`, unless it has
  // ended by then. `password` is wiped after the call. There is one at a time for a connection.
  virtual Verdict CheckPassword(Handle id, std::string_view user, std::string_view password,
                                const net::IpAddress& remote) = 0;
  // The connection has ended: no answer is wanted.
  virtual void CancelPassword(Handle id) = 0;
  // Whether this key may log `user` in; the signature is checked by the engine, after this.
  virtual bool MayUseKey(std::string_view user, const PublicKeyView& key) = 0;
  // The signature was right. False: it is refused all the same.
  virtual bool AcceptKey(Handle id, std::string_view user, const PublicKeyView& key,
                         const net::IpAddress& remote) = 0;
  // A wrong signature, or one by a key that is not this user's: what counts failures counts it.
  virtual void RefuseKey(std::string_view user, const net::IpAddress& remote) = 0;

 protected:
  ~Authenticator() = default;
};

enum class SessionKind : uint8_t { kShell, kExec, kSubsystem };

struct SessionRequest {
  SessionKind kind = SessionKind::kShell;
  Handle connection;  // as the authenticator knows it
  std::string_view user;
  net::IpAddress remote;
  std::string_view command;  // exec: the command line; subsystem: its name
  bool has_terminal = false;
  std::string_view terminal;  // "xterm"
  uint32_t columns = 80;
  uint32_t rows = 24;
};

// A channel as its session sees it. Bytes of the client wait in the window until consumed.
class ChannelPort {
 public:
  // The first bytes that wait; more may follow them when these are consumed.
  virtual std::span<const uint8_t> Input() const = 0;
  virtual void ConsumeInput(size_t count) = 0;
  virtual bool input_ended() const = 0;  // the client sends no more; Input() may still hold some
  // How many bytes a write would take now; after 0, ChannelSession::OnRoom follows.
  virtual size_t WriteRoom() = 0;
  // Returns the bytes taken.
  virtual size_t Write(std::span<const uint8_t> bytes) = 0;
  virtual size_t WriteError(std::span<const uint8_t> bytes) = 0;  // standard error
  // The session is over; it hears nothing more of this channel.
  virtual void Finish(uint32_t exit_status) = 0;

 protected:
  ~ChannelPort() = default;
};

// What runs at the end of a channel. Calls come from inside the engine; a session may use its
// channel in each of them, Finish included.
class ChannelSession {
 public:
  virtual void OnInput() = 0;  // there are bytes, or the client's input has ended
  virtual void OnRoom() = 0;   // there is room to write again; also once after the start
  virtual void OnResize(uint32_t columns, uint32_t rows) = 0;
  virtual void OnSignal(std::string_view name) = 0;  // "INT", "TERM", "HUP"
  // The channel has gone, by the client's doing or the network's. The last call.
  virtual void OnClosed() = 0;

 protected:
  ~ChannelSession() = default;
};

class SessionHost {
 public:
  // Null and an error's text for the log: refused. Does not write to `channel` yet.
  virtual Result<ChannelSession*> OpenSession(const SessionRequest& request,
                                              ChannelPort& channel) = 0;

 protected:
  ~SessionHost() = default;
};

}  // namespace gh::ssh
