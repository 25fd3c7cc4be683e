#include "firmware/admin/cli/setup.h"

#include "firmware/config/line.h"
#include "firmware/config/password.h"
#include "firmware/config/value.h"
#include "net/address.h"

namespace gh::admin {
namespace {

constexpr const char* kPrompts[] = {
    "Administrator name [admin]: ",
    "Password (12 characters or more): ",
    "The password again: ",
    "Host name [gatehouse]: ",
    "Keep the network settings of before the factory reset? yes or no [yes]: ",
    "Address of LAN1: DHCP, or like 192.0.2.10/24 [DHCP]: ",
    "Default gateway (empty: none): ",
    "DNS server (empty: none): ",
    "Time server (empty: none): ",
    "SIP domain, like example.com (empty: later): ",
    "Save this and begin? yes or no [yes]: ",
    "",
};

bool IsAddress(std::string_view text) { return net::IpAddress::Parse(text).ok(); }
bool IsHost(std::string_view text) { return config::IsHostName(text) || IsAddress(text); }

}  // namespace

void Setup::Restart(bool is_network_kept) {
  question_ = Question::kUser;
  is_network_kept_ = is_network_kept;
  keeps_network_ = false;
  password_.Zero();
  password_size_ = 0;
}

std::string_view Setup::prompt() const { return kPrompts[static_cast<uint8_t>(question_)]; }

bool Setup::AnswerOptional(std::string_view text, bool (*good)(std::string_view),
                           const char* expected, Text& out, config::Message& why) {
  if (!text.empty() && !good(text)) {
    config::MessageWriter(why).Add("expected ").Add(expected).Add(", or nothing");
    return false;
  }
  out.Assign(text);
  return true;
}

bool Setup::AnswerAddress(std::string_view text, config::Message& why) {
  dhcp_ = text.empty() || config::EqualsIgnoreCase(text, "DHCP");
  if (dhcp_) {
    return true;
  }
  const auto prefix = net::IpPrefix::Parse(text);
  const size_t slash = text.find('/');
  if (!prefix.ok() || slash == text.npos) {
    config::MessageWriter(why)
        .Add("expected DHCP, or an address with its prefix length, ")
        .Add("like 192.0.2.10/24 or 2001:db8::10/64");
    return false;
  }
  address_.Assign(text.substr(0, slash));
  prefix_length_.Assign(text.substr(slash + 1));
  is_v6_ = prefix->address.is_v6();
  return true;
}

bool Setup::Answer(std::string_view raw, config::Message& why) {
  const std::string_view text = is_secret() ? raw : config::Trim(raw);
  return question_ <= Question::kHostName ? AnswerAccount(text, why) : AnswerNetwork(text, why);
}

bool Setup::AnswerAccount(std::string_view text, config::Message& why) {
  switch (question_) {
    case Question::kUser:
      if (!text.empty() && (!config::IsUserName(text) || text.size() > 63)) {
        config::MessageWriter(why).Add("expected a user name (letters, digits, -_. and the like)");
        return false;
      }
      user_.Assign(text.empty() ? "admin" : text);
      question_ = Question::kPassword;
      return true;
    case Question::kPassword:
      if (!config::CheckAdminPassword({}, user_.view(), text, why).ok()) {
        return false;
      }
      password_.Zero();
      password_size_ = text.size();
      std::memcpy(password_.Expose().data(), text.data(), text.size());
      question_ = Question::kPasswordAgain;
      return true;
    case Question::kPasswordAgain: {
      const bool same =
          ConstantTimeEqual(AsBytes(text), std::span(password_.Expose()).first(password_size_));
      question_ = same ? Question::kHostName : Question::kPassword;
      if (!same) {
        config::MessageWriter(why).Add("the passwords differ; once more");
      }
      return same;
    }
    case Question::kHostName:
      if (!text.empty() && (!config::IsHostName(text) || text.size() > 63)) {
        config::MessageWriter(why).Add("expected a host name (letters, digits, hyphens, dots)");
        return false;
      }
      host_name_.Assign(text.empty() ? "gatehouse" : text);
      question_ = is_network_kept_ ? Question::kKeepNetwork : Question::kAddress;
      return true;
    default:
      GH_UNREACHABLE();
  }
}

bool Setup::AnswerNetwork(std::string_view text, config::Message& why) {
  switch (question_) {
    case Question::kKeepNetwork:
      keeps_network_ = text.empty() || config::EqualsIgnoreCase(text, "yes");
      if (!keeps_network_ && !config::EqualsIgnoreCase(text, "no")) {
        config::MessageWriter(why).Add("expected yes or no");
        return false;
      }
      question_ = keeps_network_ ? Question::kNtp : Question::kAddress;
      return true;
    case Question::kAddress:
      if (!AnswerAddress(text, why)) {
        return false;
      }
      question_ = AfterAddress();
      return true;
    case Question::kGateway:
      if (!AnswerOptional(text, IsAddress, "an IP address", gateway_, why)) {
        return false;
      }
      question_ = Question::kDns;
      return true;
    case Question::kDns:
      if (!AnswerOptional(text, IsAddress, "an IP address", dns_, why)) {
        return false;
      }
      question_ = Question::kNtp;
      return true;
    case Question::kNtp:
      if (!AnswerOptional(text, IsHost, "a host name or an IP address", ntp_, why)) {
        return false;
      }
      question_ = Question::kSipDomain;
      return true;
    case Question::kSipDomain:
      if (!AnswerOptional(text, IsHost, "a domain name", sip_domain_, why)) {
        return false;
      }
      question_ = Question::kConfirm;
      return true;
    case Question::kConfirm:
      if (config::EqualsIgnoreCase(text, "no")) {
        Restart(is_network_kept_);
        config::MessageWriter(why).Add("nothing was saved; from the beginning");
        return false;
      }
      if (!text.empty() && !config::EqualsIgnoreCase(text, "yes")) {
        config::MessageWriter(why).Add("expected yes or no");
        return false;
      }
      question_ = Question::kDone;
      return true;
    default:
      GH_UNREACHABLE();
  }
}

Result<void> Setup::Commit(config::Configuration& configuration, config::Message& why) {
  GH_ASSERT(done());
  configuration.Begin();
  Result<void> outcome;
  const auto set = [&](std::string_view path, std::string_view value) {
    if (!outcome.ok() || value.empty()) {
      return;
    }
    auto line = config::ParsePath(path, why);
    GH_ASSERT(line.ok());
    line->has_value = true;
    line->value.Set(value);
    if (const auto applied = configuration.Apply(*line, why); !applied.ok()) {
      outcome = applied.error();
    }
    SecureZero({reinterpret_cast<uint8_t*>(line->value.data), line->value.max_size()});
  };
  set("Administrator 1 Name", user_.view());
  set("Administrator 1 Password", AsText(std::span(password_.Expose()).first(password_size_)));
  set("System Name", host_name_.view());
  if (is_network_kept_ && !keeps_network_) {
    configuration.DropPresets();
  }
  if (keeps_network_) {
    // They are in force already and stored with this commit.
  } else if (dhcp_) {
    set("Network Port 1 IPv4 Mode", "DHCP");
  } else {
    set(is_v6_ ? "Network Port 1 IPv6 Address" : "Network Port 1 IPv4 Address", address_.view());
    set(is_v6_ ? "Network Port 1 IPv6 PrefixLength" : "Network Port 1 IPv4 PrefixLength",
        prefix_length_.view());
    set(is_v6_ ? "Network IPv6 Gateway" : "Network IPv4 Gateway", gateway_.view());
    set("DNS Server 1 Address", dns_.view());
  }
  set("NTP Server 1 Address", ntp_.view());
  set("SIP Domain 1 Name", sip_domain_.view());
  if (!outcome.ok()) {
    configuration.Abort();
    return outcome;
  }
  return configuration.Commit(why);
}

}  // namespace gh::admin
