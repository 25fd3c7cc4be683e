#include "firmware/admin/ssh_files.h"

namespace gh::admin {
namespace {

constexpr uint32_t kStepsPerTurn = 64;

}  // namespace

SshFiles::SshFiles(Arena& arena, FileService& files)
    : files_(files), programs_(arena, kFileProgramMax) {}

uint64_t SshFiles::ArenaBytes() {
  return kFileProgramMax * Pool<Program>::bytes_per_item() + sizeof(SshFiles) + 4096;
}

Result<ssh::ChannelSession*> SshFiles::OpenSftp(const FileUser& user, ssh::ChannelPort& channel) {
  Program* program = programs_.Allocate(*this, channel);
  if (program == nullptr) {
    return Error{ErrorCode::kExhausted, "too many file transfers"};
  }
  program->StartSftp(user);
  return static_cast<ssh::ChannelSession*>(program);
}

Result<ssh::ChannelSession*> SshFiles::OpenScp(const ScpCommand& command, const FileUser& user,
                                               ssh::ChannelPort& channel) {
  Program* program = programs_.Allocate(*this, channel);
  if (program == nullptr) {
    return Error{ErrorCode::kExhausted, "too many file transfers"};
  }
  program->StartScp(command, user);
  return static_cast<ssh::ChannelSession*>(program);
}

bool SshFiles::Poll(Instant) {
  bool more = false;
  for (uint32_t i = 0; i < programs_.capacity(); ++i) {
    if (Program* program = programs_.At(i); program != nullptr) {
      more = program->Move() || more;
    }
  }
  return more;
}

void SshFiles::Program::StartSftp(const FileUser& user) {
  sftp_.Start(user);
  engine_ = &sftp_;
}

void SshFiles::Program::StartScp(const ScpCommand& command, const FileUser& user) {
  scp_.Start(command, user);
  engine_ = &scp_;
}

// False: the channel takes no more now.
bool SshFiles::Program::SendOutput() {
  while (!engine_->Output().empty()) {
    const size_t taken = channel_.Write(engine_->Output());
    if (taken == 0) {
      return false;
    }
    engine_->Consume(taken);
  }
  return true;
}

// One line on the user's terminal.
void SshFiles::Program::SayNotice() {
  const std::string_view text = engine_->TakeNotice();
  uint8_t bytes[300];
  ByteWriter line(bytes);
  line.Text(text.substr(0, 256));
  line.Text("\r\n");
  if (!text.empty()) {
    channel_.WriteError(line.written());
  }
}

bool SshFiles::Program::Move() {
  engine_->Poll();
  SayNotice();
  for (uint32_t step = 0; step < kStepsPerTurn; ++step) {
    if (!SendOutput()) {
      return false;  // the channel's room comes with a packet, and that with a turn
    }
    const auto input = channel_.Input();
    const size_t taken = input.empty() ? 0 : engine_->Feed(input);
    SayNotice();
    channel_.ConsumeInput(taken);
    if (channel_.input_ended() && channel_.Input().empty() && !told_end_) {
      told_end_ = true;
      engine_->FeedEnd();
    }
    if (engine_->is_done() && engine_->Output().empty()) {
      const uint32_t status = engine_->exit_status();
      engine_->Close();
      channel_.Finish(status);
      owner_.programs_.Release(this);
      return false;
    }
    if (taken == 0 && engine_->Output().empty()) {
      // It waits: for the client, or for the disk, which is asked again soon.
      return !channel_.Input().empty();
    }
  }
  return true;
}

void SshFiles::Program::OnClosed() {
  engine_->Close();
  owner_.programs_.Release(this);
}

}  // namespace gh::admin
