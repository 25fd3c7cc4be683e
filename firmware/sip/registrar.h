// The registrar and location service (RFC 3261 10, RFC 3327): bindings of users to contacts.
//
// A REGISTER changes all it asks for or nothing. Bindings are ordered by Call-ID and CSeq; the same
// request again gives the same answer. Identifiers are kept as keyed hashes; contact, path and
// instance share one text area, with an overflow block for the long ones.
#pragma once

#include <span>
#include <string_view>

#include "firmware/sip/core.h"
#include "firmware/sip/flow.h"
#include "firmware/sip/message.h"
#include "firmware/sip/table.h"
#include "hal/rt/bytes.h"
#include "hal/rt/pool.h"

namespace gh::sip {

struct BindingOverflow {
  char text[kBindingTextMax];
};

struct RegisteredUser;
class Registrar;

struct Binding {
  Timer expiry;
  RegisteredUser* user = nullptr;
  Binding* next = nullptr;  // of the same user, most recent first
  BindingOverflow* overflow = nullptr;
  Flow flow;             // where the REGISTER came from
  uint64_t call_id = 0;  // keyed hash
  uint32_t cseq = 0;
  uint32_t branch = 0;  // keyed hash, tells a retransmission from a merged request
  uint32_t expires_s = 0;
  uint32_t reg_id = 0;  // RFC 5626; 0: none
  uint16_t q = 1000;    // thousandths
  uint16_t contact_size = 0;
  uint16_t path_size = 0;
  uint16_t instance_size = 0;
  uint16_t zone = 0;  // the traversal zone it came through; 0: none
  char text[kBindingTextInline];

  std::string_view contact() const { return {base(), contact_size}; }
  std::string_view path() const { return {base() + contact_size, path_size}; }
  std::string_view instance() const { return {base() + contact_size + path_size, instance_size}; }

 private:
  const char* base() const { return overflow != nullptr ? overflow->text : text; }
};

struct RegisteredUser {
  TableNode<RegisteredUser> node;
  Registrar* registrar = nullptr;
  Binding* first = nullptr;
  uint8_t domain = 0;
  uint8_t name_size = 0;
  char name[kUserBytesMax];
  std::string_view view() const { return {name, name_size}; }
};

// What a REGISTER knows of RFC 5626 and 5627.
struct RegisterExtensions {
  bool gruu = false;
  bool outbound = false;
  bool lacks_first_hop = false;  // outbound, but the proxy next to the user agent keeps no flows
};

struct RegisterOutcome {
  uint16_t status = 200;
  const char* why = "";
  RefusalReason reason = RefusalReason::kMalformed;
};

// One line of the registration list.
struct RegistrationInfo {
  std::string_view user, domain, contact, path, instance;
  net::Endpoint source;
  TransportKind transport = TransportKind::kUdp;
  uint16_t q = 1000;
  uint32_t remaining_s = 0;
};

class Registrar {
 public:
  Registrar(Core& core, Arena& arena);

  // Handles an authorised REGISTER for `user` (unescaped) of `domain`. On 200 writes Contact lines
  // (and Path), on 423 Min-Expires.
  // `zone`: the traversal zone the request came through, and all for its contacts goes; 0: none.
  RegisterOutcome Process(const Message& request, const Flow& flow, uint16_t zone,
                          std::string_view user, uint8_t domain, ByteWriter& extra);
  const RegisteredUser* Find(std::string_view user, uint8_t domain) const;
  // The binding with that contact URI anywhere under `user`; null when there is none.
  const Binding* FindContact(const RegisteredUser& user, const Uri& contact) const;

  // The binding behind a temporary GRUU's user part; null when there is none any more.
  const Binding* FindTemporary(std::string_view user, uint8_t domain);
  // Whether it is that user agent's, as the parameter "gr" of a public GRUU names it.
  static bool IsInstance(const Binding& binding, std::string_view name);

  // Walks the list: the first binding at or after `cursor`; moves it on. False at the end.
  bool Next(uint32_t& cursor, RegistrationInfo& out);
  // Operator: ends the binding the cursor was just moved past / all of a user. The count removed.
  uint32_t RemoveUser(std::string_view user, std::string_view domain);
  // After a change of the domain list: users whose domain is gone lose their bindings.
  void OnDomainsChanged(const Config& before);

  uint32_t binding_count() const { return bindings_.used_count(); }
  uint32_t binding_capacity() const { return bindings_.capacity(); }
  uint32_t user_count() const { return users_.used_count(); }
  uint32_t overflow_count() const { return overflows_.used_count(); }
  // All memory of one registered contact of one user, tables and timer included, with the share of
  // overflow blocks that Capacity::For() provides.
  static constexpr uint64_t bytes_per_registration() {
    return Pool<Binding>::bytes_per_item() + Pool<RegisteredUser>::bytes_per_item() +
           2 * sizeof(void*) + Pool<BindingOverflow>::bytes_per_item() / 8;
  }

 private:
  struct Wanted {
    NameAddr address;
    uint32_t expires_s = 0;
    uint32_t reg_id = 0;
    uint16_t q = 1000;
    std::string_view instance;
    uint16_t zone = 0;
    Binding* existing = nullptr;
  };
  struct Order {
    uint64_t call_id = 0;
    uint32_t cseq = 0;
    uint32_t branch = 0;
  };
  using WantedList = std::array<Wanted, kContactPerRegisterMax>;

  uint64_t UserHash(std::string_view user, std::string_view domain) const;
  static RegisterExtensions ExtensionsOf(const Message& request);
  uint64_t GruuTag(const Binding& binding, uint64_t nonce, uint64_t handle) const;
  void WriteGruus(ByteWriter& extra, const Binding& binding) const;
  RegisterOutcome ReadContacts(const Message& request, const RegisterExtensions& extensions,
                               WantedList& wanted, size_t& count);
  RegisterOutcome ReadContact(const Message& request, const NameAddr& address, Wanted& out);
  RegisterOutcome ReadPath(const Message& request, char (&out)[kBindingTextMax], size_t& size);
  RegisterOutcome Plan(RegisteredUser* user, std::span<Wanted> wanted, const Order& order,
                       size_t path_size);
  RegisterOutcome CheckOrder(const Binding& binding, const Order& order) const;
  RegisterOutcome RemoveAll(const Message& request, RegisteredUser* user, const Order& order);
  Binding* Match(RegisteredUser& user, const Wanted& wanted) const;
  RegisteredUser* FindOrAdd(std::string_view user, uint8_t domain);
  void Apply(RegisteredUser& user, const Wanted& wanted, const Flow& flow, const Order& order,
             std::string_view path);
  void SetText(Binding& binding, const Wanted& wanted, std::string_view path);
  void Unlink(Binding& binding);
  void ReleaseIfEmpty(RegisteredUser& user);
  void OnExpiry(Binding& binding);
  void WriteContacts(const RegisteredUser* user, bool with_gruus, ByteWriter& extra) const;
  RegistrationEvent EventOf(const Binding& binding) const;

  Core& core_;
  Pool<Binding> bindings_;
  Pool<BindingOverflow> overflows_;
  Pool<RegisteredUser> users_;
  Table<RegisteredUser, &RegisteredUser::node> table_;
};

// A phone whose Contact names the very address its REGISTER came from is behind no NAT, and may
// listen elsewhere than it sends from: its Contact decides (null). Everyone else is reached by the
// flow.
const Flow* FlowToward(const Binding& binding, std::string_view contact);

}  // namespace gh::sip
