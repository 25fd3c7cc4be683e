#include "firmware/s2s/lookup.h"

#include <algorithm>
#include <utility>

#include "firmware/xmpp/address.h"

namespace gh::s2s {

void Lookup::Begin(net::Resolver& resolver, crypto::Random& random, LookupUser& user) {
  Cancel();
  resolver_ = &resolver;
  random_ = &random;
  user_ = &user;
  found_any_ = refuses_ = false;
  server_count_ = server_ = address_count_ = address_ = 0;
  query_.context = this;
  query_.done = [](net::DnsQuery& query, Result<std::span<const net::DnsRecord>> records) {
    static_cast<Lookup*>(query.context)->OnAnswer(records);
  };
}

void Lookup::Start(net::Resolver& resolver, crypto::Random& random, LookupUser& user,
                   std::string_view domain, bool tls) {
  Begin(resolver, random, user);
  if (!xmpp::DomainForDns(domain, domain_)) {
    domain_.Clear();  // DNS cannot have it
    step_ = Step::kDone;
    return;
  }
  step_ = tls ? Step::kSrvTls : Step::kSrv;
}

void Lookup::StartAt(net::Resolver& resolver, crypto::Random& random, LookupUser& user,
                     std::string_view host, uint16_t port, bool tls) {
  Begin(resolver, random, user);
  domain_.Assign(host);
  servers_[server_count_++] = {domain_, 0, 0, port, tls};
  step_ = Step::kAddress4;
}

void Lookup::Cancel() {
  if (std::exchange(asking_, false)) {
    resolver_->Cancel(query_);
  }
  step_ = Step::kDone;
}

Lookup::Answer Lookup::Next(Hop& hop) {
  for (;;) {
    if (address_ < address_count_) {
      const Server& server = servers_[server_];
      hop = {{addresses_[address_++], server.port}, server.is_tls};
      return Answer::kHop;
    }
    if (step_ == Step::kDone) {
      return Answer::kNone;
    }
    if (Ask()) {
      return Answer::kLater;
    }
    Advance();
  }
}

// False: this step has nothing to ask.
bool Lookup::Ask() {
  FixedString<net::kDnsNameMax> name;
  net::DnsType type = net::DnsType::kSrv;
  if (step_ == Step::kSrvTls || step_ == Step::kSrv) {
    name.Assign(step_ == Step::kSrv ? "_xmpp-server._tcp." : "_xmpps-server._tcp.");
    name.Append(domain_.view());
  } else if (step_ == Step::kNextServer) {
    return false;
  } else {
    name = servers_[server_].name;
    type = step_ == Step::kAddress4 ? net::DnsType::kA : net::DnsType::kAaaa;
  }
  asking_ = !name.truncated() && resolver_->Resolve(name.view(), type, query_).ok();
  return asking_;
}

void Lookup::OnAnswer(const Result<std::span<const net::DnsRecord>>& records) {
  asking_ = false;
  if (records.ok()) {
    found_any_ = true;
    if (step_ == Step::kSrvTls || step_ == Step::kSrv) {
      TakeServers(*records);
    } else {
      for (const net::DnsRecord& record : *records) {
        const bool is_address =
            record.type == net::DnsType::kA || record.type == net::DnsType::kAaaa;
        if (is_address && address_count_ < addresses_.size()) {
          addresses_[address_count_++] = record.address;
        }
      }
    }
  }
  Advance();
  Hop hop;
  switch (Next(hop)) {
    case Answer::kHop:
      user_->OnHop(&hop);
      return;
    case Answer::kNone:
      user_->OnHop(nullptr);
      return;
    case Answer::kLater:
      return;
  }
}

// The step behind this one. A server's addresses are all used before the next server.
void Lookup::Advance() {
  switch (step_) {
    case Step::kSrvTls:
      step_ = Step::kSrv;
      return;
    case Step::kSrv:
      if (server_count_ == 0 && !refuses_) {
        servers_[server_count_++] = {domain_, 0, 0, kDefaultPort, false};
      }
      SortServers();
      step_ = server_count_ == 0 ? Step::kDone : Step::kAddress4;
      return;
    case Step::kAddress4:
      step_ = Step::kAddress6;
      return;
    case Step::kAddress6:
      step_ = Step::kNextServer;
      return;
    case Step::kNextServer:
      address_ = address_count_ = 0;
      ++server_;
      step_ = server_ < server_count_ ? Step::kAddress4 : Step::kDone;
      return;
    case Step::kDone:
      return;
  }
}

void Lookup::TakeServers(std::span<const net::DnsRecord> records) {
  for (const net::DnsRecord& record : records) {
    if (record.type != net::DnsType::kSrv) {
      continue;
    }
    if (record.target.empty() || record.target == ".") {
      refuses_ = true;
      continue;
    }
    if (server_count_ < servers_.size()) {
      servers_[server_count_++] = {FixedString<net::kDnsNameMax>(record.target), record.priority,
                                   record.weight, record.port, step_ == Step::kSrvTls};
    }
  }
}

void Lookup::SortServers() {
  for (uint32_t at = 0; at + 1 < server_count_; ++at) {
    uint16_t lowest = UINT16_MAX;
    for (uint32_t i = at; i < server_count_; ++i) {
      lowest = std::min(lowest, servers_[i].priority);
    }
    uint32_t total = 0;
    for (uint32_t i = at; i < server_count_; ++i) {
      total += servers_[i].priority == lowest ? servers_[i].weight + 1u : 0u;
    }
    uint32_t draw = random_->Below(total);
    for (uint32_t i = at; i < server_count_; ++i) {
      const uint32_t share = servers_[i].weight + 1u;
      if (servers_[i].priority != lowest) {
        continue;
      }
      if (draw < share) {
        std::swap(servers_[at], servers_[i]);
        break;
      }
      draw -= share;
    }
  }
}

}  // namespace gh::s2s
