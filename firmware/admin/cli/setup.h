// First set-up on the serial console: a few questions that make an appliance usable, asked when
// there is no configuration. Nothing is set before the last answer; then all of it or nothing.
#pragma once

#include <string_view>

#include "firmware/config/configuration.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/secret.h"

namespace gh::admin {

class Setup {
 public:
  enum class Question : uint8_t {
    kUser,
    kPassword,
    kPasswordAgain,
    kHostName,
    kKeepNetwork,
    kAddress,
    kGateway,
    kDns,
    kNtp,
    kSipDomain,
    kConfirm,
    kDone,
  };

  // `is_network_kept`: a factory reset left the network settings; keeping them is offered.
  void Restart(bool is_network_kept);
  Question question() const { return question_; }
  bool is_secret() const {
    return question_ == Question::kPassword || question_ == Question::kPasswordAgain;
  }
  bool done() const { return question_ == Question::kDone; }
  // What is asked now, with the default in brackets.
  std::string_view prompt() const;
  // Takes the answer and goes on; false: `why` says what was expected, the question stands.
  bool Answer(std::string_view text, config::Message& why);
  // Commits everything; Restart() is next either way.
  Result<void> Commit(config::Configuration& configuration, config::Message& why);

 private:
  using Text = FixedString<160>;
  bool AnswerAccount(std::string_view text, config::Message& why);
  bool AnswerNetwork(std::string_view text, config::Message& why);
  bool AnswerAddress(std::string_view text, config::Message& why);
  bool AnswerOptional(std::string_view text, bool (*good)(std::string_view), const char* expected,
                      Text& out, config::Message& why);
  Question AfterAddress() const { return dhcp_ ? Question::kNtp : Question::kGateway; }

  Question question_ = Question::kUser;
  bool is_network_kept_ = false;  // offered
  bool keeps_network_ = false;    // accepted
  bool dhcp_ = true;
  Text user_, host_name_, address_, prefix_length_, gateway_, dns_, ntp_, sip_domain_;
  bool is_v6_ = false;
  SecretBytes<config::kPasswordMax> password_;
  size_t password_size_ = 0;
};

}  // namespace gh::admin
