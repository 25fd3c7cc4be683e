// The protocol of "scp -O". See scp_server.h.
#include "firmware/admin/files/scp_server.h"

#include <algorithm>
#include <charconv>

namespace gh::admin {
namespace {

std::string_view TakeWord(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  const size_t size = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, size);
  rest.remove_prefix(size);
  return word;
}

// A shell's quotes around a whole word; that is all clients do.
std::string_view Unquote(std::string_view text) {
  const bool quoted = text.size() >= 2 && (text.front() == '\'' || text.front() == '"') &&
                      text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

}  // namespace

std::optional<ScpCommand> ScpServer::Parse(std::string_view command_line) {
  std::string_view rest = command_line;
  if (TakeWord(rest) != "scp") {
    return std::nullopt;
  }
  ScpCommand command;
  bool has_direction = false;
  for (;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    if (!rest.starts_with('-')) {
      break;
    }
    const std::string_view option = TakeWord(rest);
    if (option == "--") {
      rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
      break;
    }
    for (char c : option.substr(1)) {
      has_direction = has_direction || c == 't' || c == 'f';
      command.sends = command.sends || c == 'f';
      command.is_folder = command.is_folder || c == 'd';
    }
  }
  if (!has_direction) {
    return std::nullopt;
  }
  command.path.Assign(Unquote(rest));
  return command;
}

void ScpServer::Reset() {
  line_.Clear();
  refusal_.Clear();
  size_ = done_ = 0;
  stalled_ = false;
  out_begin_ = out_end_ = 0;
  file_ = {};
}

void ScpServer::Start(const ScpCommand& command, const FileUser& user) {
  Close();
  user_ = user;
  command_ = command;
  failed_ = false;
  if (command.path.truncated()) {
    Fail("the path is too long");
  } else if (command.sends) {
    state_ = State::kStartAsked;
  } else {
    state_ = State::kLine;
    Acknowledge();
  }
}

void ScpServer::Close() {
  if (file_.serial != 0) {
    files_.Abort(file_);
  }
  Reset();
  state_ = State::kDone;
}

void ScpServer::Put(std::string_view text) {
  if (out_end_ + text.size() <= out_.size()) {
    std::copy(text.begin(), text.end(), out_.begin() + static_cast<ptrdiff_t>(out_end_));
    out_end_ += text.size();
  }
}

void ScpServer::Acknowledge() { Put(std::string_view("\0", 1)); }

// Two in front: the client ends, and shows the rest.
void ScpServer::Fail(std::string_view why) {
  if (file_.serial != 0) {
    files_.Abort(file_);
    file_ = {};
  }
  failed_ = true;
  Put("\2scp: ");
  Put(why.substr(0, 400));
  Put("\n");
  state_ = State::kDone;
}

size_t ScpServer::Feed(std::span<const uint8_t> bytes) {
  size_t taken = 0;
  while (taken < bytes.size()) {
    const auto rest = bytes.subspan(taken);
    size_t count = 0;
    switch (state_) {
      case State::kDone:
        return bytes.size();  // nobody listens any more
      case State::kLine:
        count = FeedLine(rest);
        break;
      case State::kData:
        count = FeedData(rest);
        break;
      case State::kDataEnd:
        count = 1;
        if (rest[0] != 0) {
          Fail("the file was given up by its sender");
          break;
        }
        if (!refusal_.empty()) {
          Fail(refusal_.view());
          break;
        }
        state_ = State::kClosing;
        ContinueClosing();
        break;
      case State::kStartAsked:
      case State::kHeaderAsked:
      case State::kEndAsked:
        count = FeedAnswer(rest);
        break;
      case State::kOpening:
      case State::kClosing:
      case State::kSending:
        break;
    }
    if (count == 0) {
      break;
    }
    taken += count;
  }
  return taken;
}

void ScpServer::FeedEnd() {
  if (state_ == State::kLine) {
    state_ = State::kDone;  // no more files
  } else if (state_ != State::kDone && state_ != State::kClosing) {
    Fail("the connection ended too early");
  }
}

void ScpServer::Consume(size_t count) {
  GH_ASSERT_LE(count, out_end_ - out_begin_);
  out_begin_ += count;
  if (out_begin_ == out_end_) {
    out_begin_ = out_end_ = 0;
  }
  ContinueSending();
}

void ScpServer::Poll() {
  stalled_ = false;
  if (state_ == State::kOpening) {
    OpenForReading();
  }
  ContinueClosing();
  ContinueSending();
}

// --- To here ------------------------------------------------------------------------------------

size_t ScpServer::FeedLine(std::span<const uint8_t> bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), uint8_t{'\n'});
  const auto size = static_cast<size_t>(end - bytes.begin());
  if (!line_.Append(AsText(bytes.first(size)))) {
    Fail("a line is too long");
    return bytes.size();
  }
  if (end == bytes.end()) {
    return size;
  }
  HandleLine();
  line_.Clear();
  return size + 1;
}

void ScpServer::HandleLine() {
  const std::string_view line = line_.view();
  if (line.starts_with('C')) {
    HandleFileLine(line.substr(1));
  } else if (line.starts_with('T')) {
    Acknowledge();  // times are not kept
  } else if (line.starts_with('D')) {
    Fail("folders are not taken");
  } else {
    Fail("not a request of this protocol");
  }
}

// "0644 1234 name"
void ScpServer::HandleFileLine(std::string_view rest) {
  TakeWord(rest);
  const std::string_view digits = TakeWord(rest);
  uint64_t size = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  std::string_view name = rest.substr(std::min<size_t>(1, rest.size()));
  name = name.substr(name.find('/') == name.npos ? 0 : name.rfind('/') + 1);
  if (error != std::errc() || stop != digits.data() + digits.size() || digits.empty() ||
      name.empty() || name == "." || name == "..") {
    Fail("not a file's line of this protocol");
    return;
  }
  // A folder takes the file by its own name; else the path is the name.
  FixedString<kFilePathMax> path(command_.path.view());
  const auto target = files_.Stat(path.view(), user_);
  if (target.ok() && target->is_folder) {
    path.Append('/');
    path.Append(name);
  }
  const auto file = path.truncated()
                        ? Result<FileId>(Error{ErrorCode::kTooLarge, "the path is too long"})
                        : files_.OpenWrite(path.view(), size, user_);
  if (!file.ok()) {
    Fail(file.error().what);
    return;
  }
  file_ = *file;
  size_ = size;
  done_ = 0;
  state_ = size == 0 ? State::kDataEnd : State::kData;
  Acknowledge();
}

size_t ScpServer::FeedData(std::span<const uint8_t> bytes) {
  if (stalled_) {
    return 0;
  }
  const auto part = bytes.first(std::min<uint64_t>(bytes.size(), size_ - done_));
  auto taken = refusal_.empty() ? files_.Write(file_, done_, part) : Result<size_t>(part.size());
  if (!taken.ok()) {
    // The sender listens only behind its last byte: what is on its way is let pass.
    refusal_.Assign(taken.error().what);
    files_.Abort(file_);
    file_ = {};
    taken = part.size();
  }
  stalled_ = *taken == 0;
  done_ += *taken;
  state_ = done_ == size_ ? State::kDataEnd : State::kData;
  return *taken;
}

void ScpServer::ContinueClosing() {
  if (state_ != State::kClosing) {
    return;
  }
  const auto closed = files_.Close(file_);
  if (closed.code() == ErrorCode::kWouldBlock) {
    return;
  }
  file_ = {};
  if (!closed.ok()) {
    Fail(closed.error().what);
    return;
  }
  state_ = State::kLine;
  Acknowledge();
}

// --- From here ----------------------------------------------------------------------------------

size_t ScpServer::FeedAnswer(std::span<const uint8_t> bytes) {
  if (bytes[0] != 0) {  // the client could not write it, and has said so to its user
    failed_ = true;
    Close();
    failed_ = true;
    return bytes.size();
  }
  if (state_ == State::kStartAsked) {
    state_ = State::kOpening;
    OpenForReading();
  } else if (state_ == State::kHeaderAsked) {
    state_ = State::kSending;
    ContinueSending();
  } else {
    state_ = State::kDone;
  }
  return 1;
}

void ScpServer::OpenForReading() {
  const auto file = files_.OpenRead(command_.path.view(), user_);
  if (file.code() == ErrorCode::kWouldBlock) {
    return;  // asked again in the next turn
  }
  if (!file.ok()) {
    Fail(file.error().what);
    return;
  }
  file_ = *file;
  const auto info = files_.StatOpen(file_);
  GH_ASSERT(info.ok());
  size_ = info->size;
  done_ = 0;
  uint8_t bytes[kFileNameMax + 40];
  ByteWriter header(bytes);
  header.Text("C0644 ");
  header.Decimal(size_);
  header.Char(' ');
  header.Text(info->name.view());
  header.Char('\n');
  Put(header.text());
  state_ = State::kHeaderAsked;
}

void ScpServer::ContinueSending() {
  while (state_ == State::kSending && out_end_ < out_.size()) {
    if (done_ == size_) {
      Acknowledge();
      files_.Close(file_).ignore("it was only read");
      file_ = {};
      state_ = State::kEndAsked;
      return;
    }
    const auto room = std::span(out_).subspan(out_end_);
    const auto wanted = room.first(std::min<uint64_t>(room.size(), size_ - done_));
    const auto count = files_.Read(file_, done_, wanted);
    if (count.code() == ErrorCode::kWouldBlock) {
      return;
    }
    if (!count.ok() || *count == 0) {  // shorter than it was said: the client must not be misled
      Fail(count.ok() ? "the file has changed while it was sent" : count.error().what);
      return;
    }
    out_end_ += *count;
    done_ += *count;
  }
}

}  // namespace gh::admin
