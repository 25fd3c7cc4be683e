// The client's reading of an HTTP/1.1 response (RFC 9112): bytes go in, in pieces of any size; the
// head's facts and the body's bytes come out.
//
// Strict where laxness has made smuggling possible: one framing only (Content-Length or chunked,
// never both, never two that differ), no obsolete line folding, no space before a colon, CRLF only.
// Bounded: kHttpHeadMax, kHttpLineMax, kHttpInterimMax; nothing of the body is held.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "net/http/limits.h"

namespace gh::net {

class HttpResponse {
 public:
  HttpResponse() = default;
  HttpResponse(const HttpResponse&) = delete;
  HttpResponse& operator=(const HttpResponse&) = delete;

  // Told of every header field of the final response's head; both parts lie in it only while told.
  using FieldTaker = void (*)(void* context, std::string_view name, std::string_view value);
  void SetFieldTaker(FieldTaker taker, void* context) {
    field_taker_ = taker;
    field_context_ = context;
  }

  // For the next response. `has_no_body`: of a HEAD request.
  void Reset(bool has_no_body = false);
  // Takes bytes off the front of `bytes`; returns the next piece of the body, which lies in
  // `bytes`. Empty: everything was taken, or the response is complete(). kMalformed, kTooLarge.
  Result<std::span<const uint8_t>> Feed(std::span<const uint8_t>& bytes);
  // The peer closed the connection: kTruncated unless the response ends so.
  Result<void> End();

  bool has_head() const { return state_ >= State::kBody; }
  bool complete() const { return state_ == State::kComplete; }
  // From has_head() on.
  uint32_t status() const { return status_; }
  const std::optional<uint64_t>& content_length() const { return content_length_; }
  // Content-Range of a 206: the first byte's place, and the whole length when it is told.
  const std::optional<uint64_t>& range_start() const { return range_start_; }
  const std::optional<uint64_t>& range_total() const { return range_total_; }
  std::string_view location() const { return location_.view(); }

 private:
  enum class State : uint8_t {
    kStatus,
    kFields,
    kBody,  // from here on the head is known
    kChunkSize,
    kChunk,
    kChunkEnd,
    kTrailer,
    kComplete,
  };

  Result<bool> TakeLine(std::span<const uint8_t>& bytes);
  Result<void> OnLine();
  Result<void> OnStatus(std::string_view line);
  Result<void> OnField(std::string_view line);
  Result<void> OnHeadEnd();
  Result<void> OnContentLength(std::string_view value);
  Result<void> OnContentRange(std::string_view value);
  Result<void> OnChunkSize(std::string_view line);
  bool IsInBody() const { return state_ == State::kBody || state_ == State::kChunk; }

  FieldTaker field_taker_ = nullptr;
  void* field_context_ = nullptr;
  bool has_no_body_ = false;
  State state_ = State::kStatus;
  std::array<char, kHttpLineMax> line_;
  size_t line_size_ = 0;
  size_t head_size_ = 0;  // of the head, then of the trailer
  uint32_t interim_count_ = 0;
  uint32_t status_ = 0;
  std::optional<uint64_t> content_length_;
  std::optional<uint64_t> range_start_;
  std::optional<uint64_t> range_total_;
  FixedString<kHttpUrlMax> location_;
  bool is_chunked_ = false;
  bool until_close_ = false;
  uint64_t left_ = 0;  // of the body, or of the chunk
};

}  // namespace gh::net
