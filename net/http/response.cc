#include "net/http/response.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "hal/rt/ascii.h"
#include "hal/rt/assert.h"
#include "net/http/field.h"

namespace gh::net {
namespace {

Error Malformed(const char* what) { return {ErrorCode::kMalformed, what}; }

// A whole, unsigned number and nothing else.
std::optional<uint64_t> Number(std::string_view text, int base = 10) {
  uint64_t value = 0;
  const auto end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || error != std::errc() || at != end) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

void HttpResponse::Reset(bool has_no_body) {
  has_no_body_ = has_no_body;
  state_ = State::kStatus;
  line_size_ = head_size_ = 0;
  interim_count_ = status_ = 0;
  content_length_.reset();
  range_start_.reset();
  range_total_.reset();
  location_.Clear();
  is_chunked_ = until_close_ = false;
  left_ = 0;
}

Result<std::span<const uint8_t>> HttpResponse::Feed(std::span<const uint8_t>& bytes) {
  while (!bytes.empty() && !complete()) {
    if (IsInBody()) {
      const size_t count = until_close_ ? bytes.size() : std::min<uint64_t>(left_, bytes.size());
      const auto piece = bytes.first(count);
      bytes = bytes.subspan(count);
      left_ -= until_close_ ? 0 : count;
      if (left_ == 0 && !until_close_) {
        state_ = state_ == State::kChunk ? State::kChunkEnd : State::kComplete;
      }
      return piece;
    }
    const auto whole = TakeLine(bytes);
    if (!whole.ok()) {
      return whole.error();
    }
    if (whole.value()) {
      if (auto done = OnLine(); !done.ok()) {
        return done.error();
      }
      line_size_ = 0;
    }
  }
  return std::span<const uint8_t>();
}

Result<void> HttpResponse::End() {
  if (state_ == State::kBody && until_close_) {
    state_ = State::kComplete;
  }
  return complete() ? Ok()
                    : Result<void>(Error(ErrorCode::kTruncated, "the response is cut short"));
}

// True when line_ holds a whole line, without its CRLF.
Result<bool> HttpResponse::TakeLine(std::span<const uint8_t>& bytes) {
  while (!bytes.empty()) {
    const char c = static_cast<char>(bytes.front());
    bytes = bytes.subspan(1);
    const bool is_counted = state_ < State::kBody || state_ == State::kTrailer;
    if (is_counted && ++head_size_ > kHttpHeadMax) {
      return Error(ErrorCode::kTooLarge, "the response's head is too large");
    }
    if (c == '\n') {
      if (line_size_ == 0 || line_[line_size_ - 1] != '\r') {
        return Malformed("a line of the response does not end in CRLF");
      }
      --line_size_;
      return true;
    }
    if (line_size_ == line_.size()) {
      return Error(ErrorCode::kTooLarge, "a line of the response is too long");
    }
    line_[line_size_++] = c;
  }
  return false;
}

Result<void> HttpResponse::OnLine() {
  const std::string_view line(line_.data(), line_size_);
  if (line.find_first_of(std::string_view("\r\0", 2)) != line.npos) {
    return Malformed("a line of the response has a control character");
  }
  switch (state_) {
    case State::kStatus:
      return OnStatus(line);
    case State::kFields:
      return line.empty() ? OnHeadEnd() : OnField(line);
    case State::kChunkSize:
      return OnChunkSize(line);
    case State::kChunkEnd:
      state_ = State::kChunkSize;
      return line.empty() ? Ok() : Result<void>(Malformed("a chunk is longer than it said"));
    case State::kTrailer:
      state_ = line.empty() ? State::kComplete : State::kTrailer;
      return Ok();
    default:
      GH_ASSERT(false);
      return Ok();
  }
}

Result<void> HttpResponse::OnStatus(std::string_view line) {
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || (line[7] != '0' && line[7] != '1') ||
      line[8] != ' ' || (line.size() > 12 && line[12] != ' ')) {
    return Malformed("this is not an HTTP/1.1 response");
  }
  const auto status = Number(line.substr(9, 3));
  if (!status || *status < 100 || *status > 599) {
    return Malformed("this is not an HTTP/1.1 response");
  }
  status_ = static_cast<uint32_t>(*status);
  state_ = State::kFields;
  return Ok();
}

Result<void> HttpResponse::OnField(std::string_view line) {
  const auto field = ParseHttpField(line);
  if (!field) {
    return Malformed("a header field of the response is malformed");
  }
  const auto [name, value] = *field;
  if (field_taker_ != nullptr && status_ >= 200) {
    field_taker_(field_context_, name, value);
  }
  if (EqualsIgnoringCase(name, "content-length")) {
    return OnContentLength(value);
  }
  if (EqualsIgnoringCase(name, "content-range")) {
    return OnContentRange(value);
  }
  if (EqualsIgnoringCase(name, "transfer-encoding")) {
    if (!EqualsIgnoringCase(value, "chunked") || is_chunked_) {
      return Error(ErrorCode::kUnsupported, "the response has a coding other than chunked");
    }
    is_chunked_ = true;
  }
  if (EqualsIgnoringCase(name, "content-encoding") && !EqualsIgnoringCase(value, "identity")) {
    return Error(ErrorCode::kUnsupported, "the response is compressed, which was not asked for");
  }
  if (EqualsIgnoringCase(name, "location") && !location_.Assign(value)) {
    return Error(ErrorCode::kTooLarge, "the redirection's URL is too long");
  }
  return Ok();
}

Result<void> HttpResponse::OnContentLength(std::string_view value) {
  const auto length = Number(value);
  if (!length || (content_length_ && *content_length_ != *length)) {
    return Malformed("the response's length is malformed");
  }
  content_length_ = length;
  return Ok();
}

// "bytes 100-199/1000", the total may be "*" (RFC 9110 section 14.4).
Result<void> HttpResponse::OnContentRange(std::string_view value) {
  const size_t dash = value.find('-');
  const size_t slash = value.find('/');
  if (!value.starts_with("bytes ") || dash == value.npos || slash == value.npos || dash > slash) {
    return Ok();  // "bytes */1000" of a 416, or another unit
  }
  const auto first = Number(value.substr(6, dash - 6));
  const auto last = Number(value.substr(dash + 1, slash - dash - 1));
  const auto total = Number(value.substr(slash + 1));
  if (!first || !last || *first > *last || (!total && value.substr(slash + 1) != "*") ||
      (total && *last >= *total)) {
    return Malformed("the response's range is malformed");
  }
  range_start_ = first;
  range_total_ = total;
  return Ok();
}

Result<void> HttpResponse::OnHeadEnd() {
  if (is_chunked_ && content_length_) {
    return Malformed("the response has two lengths");
  }
  if (status_ < 200) {
    const uint32_t interim_count = interim_count_ + 1;
    if (interim_count > kHttpInterimMax || status_ == 101) {
      return Malformed("the response does not come to its end");
    }
    const size_t head_size = head_size_;
    Reset(has_no_body_);
    head_size_ = head_size;
    interim_count_ = interim_count;
    return Ok();
  }
  const bool has_no_body = has_no_body_ || status_ == 204 || status_ == 304;
  if (has_no_body || (content_length_ && *content_length_ == 0)) {
    state_ = State::kComplete;
  } else if (is_chunked_) {
    state_ = State::kChunkSize;
  } else {
    until_close_ = !content_length_;
    left_ = content_length_.value_or(0);
    state_ = State::kBody;
  }
  return Ok();
}

Result<void> HttpResponse::OnChunkSize(std::string_view line) {
  // Chunk extensions are ignored (RFC 9112 section 7.1.1).
  const auto size = Number(TrimBlanks(line.substr(0, line.find(';'))), 16);
  if (!size || *size > UINT64_MAX / 2) {
    return Malformed("a chunk's size is malformed");
  }
  left_ = *size;
  state_ = left_ == 0 ? State::kTrailer : State::kChunk;
  head_size_ = 0;  // from here the trailer's
  return Ok();
}

}  // namespace gh::net
