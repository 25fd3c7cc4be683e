// The record of messages for those who must keep one (CMP-1): each message as it was routed, a line
// of XML behind the time, in a sealed record on the log partition; the oldest go when it is full.
// Administrators fetch it as /compliance/messages.txt. Another sink, such as a database, would be
// another xmpp::Recorder.
#pragma once

#include "firmware/admin/file_service.h"
#include "firmware/files/sealed_stream.h"
#include "firmware/xmpp/engine.h"

namespace gh {

class XmppCompliance final : public xmpp::Recorder, public admin::FileProvider {
 public:
  XmppCompliance(files::SealedStream& stream, hal::Clock& clock) : stream_(stream), clock_(clock) {}

  // `required`: what cannot be recorded is refused.
  void Apply(bool enabled, bool required) {
    enabled_ = enabled;
    required_ = required;
  }
  bool enabled() const { return enabled_; }
  bool Record(std::span<const uint8_t> stanza) override;
  files::SealedStream& stream() { return stream_; }
  uint64_t recorded() const { return recorded_; }
  uint64_t missed() const { return missed_; }

  admin::Right read_right() const override { return admin::Right::kAdminister; }
  bool List(uint32_t index, admin::FileInfo& out) override;
  Result<void> OpenRead(std::string_view name, admin::FileReading& reading) override;
  Result<size_t> Read(std::string_view name, admin::FileReading& reading,
                      std::span<uint8_t> out) override;

 private:
  files::SealedStream& stream_;
  hal::Clock& clock_;
  bool enabled_ = false;
  bool required_ = false;
  uint64_t recorded_ = 0;
  uint64_t missed_ = 0;
};

}  // namespace gh
