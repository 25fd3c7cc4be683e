// Web over the engine's World: streams of HTTP without a network.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "firmware/xmpp/web.h"
#include "hal/rt/event_loop.h"
#include "tests/unit/http/websocket_client.h"
#include "tests/unit/rt/memory.h"
#include "tests/unit/store/fake_disk.h"
#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {

class WebWorld final : public net::StreamService {
 public:
  static constexpr Web::Capacity kCapacity{8, 2, 8192};
  static constexpr uint32_t kFileChunks = 8;
  // `with_files`: users may leave files, on a disk of few chunks.
  explicit WebWorld(World& world, bool with_files = false, uint32_t chunks = kFileChunks,
                    const Web::Capacity& capacity = kCapacity)
      : disk(512, with_files ? uint64_t{chunks} * files::kChunkBytes / 512 : 1),
        world_(world),
        memory_(Web::ArenaBytes(capacity) + (1 << 20) +
                (with_files ? files::SealedFiles::ArenaBytes() : 0)),
        arena_(std::span<uint8_t>(memory_)),
        loop_(world.clock) {
    if (with_files) {
      MakeFiles(chunks);
    }
    web_ = std::make_unique<Web>(Web::Parts{arena_, loop_, *this, world.random(), world.engine(),
                                            world, world, uploads.get()},
                                 capacity);
    world.web = web_.get();
  }
  ~WebWorld() {
    world_.web = nullptr;
    world_.engine().SetUploads(nullptr);
  }
  // So long that the disk is done.
  void Settle(int turns = 60) {
    for (int i = 0; i < turns; ++i) {
      Turn(Duration::Milliseconds(1));
    }
  }
  Web& web() { return *web_; }

  net::StreamId Open(const net::Endpoint& remote = {}) {
    const net::StreamId id{next_++, 1};
    GH_ASSERT(Comes(id, remote));
    return id;
  }
  bool MayOpen(const net::Endpoint& remote) { return Comes({next_++, 1}, remote); }
  // What came back since the last call.
  std::string Say(net::StreamId id, std::string_view text) {
    held_[id.index] += text;
    Offer(id);
    return Take(id);
  }
  std::string Take(net::StreamId id) {
    Run();
    return std::exchange(world_.sent[id.index], "");
  }
  void Cut(net::StreamId id) {
    if (!gone_[id.index]) {
      gone_[id.index] = true;
      web_->OnStreamClosed(id, net::StreamClose::kByPeer);
    }
  }
  void Turn(Duration by) {
    world_.Turn(by);
    Run();
  }
  bool is_closed(net::StreamId id) { return world_.closed[id.index]; }
  size_t held(net::StreamId id) { return held_[id.index].size(); }
  // Until nothing happens any more.
  void Run() {
    for (int i = 0; i < 4; ++i) {
      loop_.RunOnce();
      for (const net::StreamId id : std::exchange(resumed_, {})) {
        Offer(id);
      }
      for (const uint32_t index : std::exchange(world_.resumed, {})) {
        Offer({index, 1});
      }
    }
  }

  Result<net::ListenerId> Listen(const net::Endpoint&, const net::StreamOptions&,
                                 net::StreamHandler&) override {
    return ErrorCode::kUnsupported;
  }
  void CloseListener(net::ListenerId) override {}
  Result<net::StreamId> Connect(const net::Endpoint&, const net::StreamOptions&,
                                net::StreamHandler&) override {
    return ErrorCode::kUnsupported;
  }
  Result<void> SendStream(net::StreamId id, std::span<const uint8_t> data) override {
    return world_.Send(id, data);
  }
  size_t SendRoom(net::StreamId) const override { return 65536; }
  void ResumeStream(net::StreamId id) override { resumed_.push_back(id); }
  void CloseStream(net::StreamId id) override { world_.closed[id.index] = true; }
  void AbortStream(net::StreamId id) override { world_.closed[id.index] = true; }
  const net::StreamInfo* InfoOf(net::StreamId) const override { return nullptr; }

  store::FakeDisk disk;
  std::unique_ptr<files::SealedFiles> sealed;
  std::unique_ptr<Uploads> uploads;

 private:
  bool Comes(net::StreamId id, const net::Endpoint& remote) {
    net::StreamInfo info;
    info.kind = net::StreamKind::kTls;
    info.remote = remote;
    return web_->OnStreamOpen(id, info);
  }
  void MakeFiles(uint32_t chunks) {
    sealed = std::make_unique<files::SealedFiles>(
        arena_, loop_.timers(), world_.random(),
        files::SealedFiles::Part{&disk, 0, uint64_t{chunks} * files::kChunkBytes});
    sealed->Open(std::array<uint8_t, files::SealedFiles::kKeyBytes>{});
    uploads = std::make_unique<Uploads>(*sealed, world_.random(), world_);
    UploadConfig config;
    config.enabled = true;
    config.port = 5281;
    config.size_max = 200'000;
    config.user_max = 250'000;
    config.total_max = 300'000;
    config.keep_s = 3600;
    uploads->Apply(config);
    world_.engine().SetUploads(uploads.get());
    for (int i = 0; i < 30; ++i) {
      world_.Turn(Duration::Milliseconds(1));
      loop_.RunOnce();
    }
  }
  void Offer(net::StreamId id) {
    std::string& held = held_[id.index];
    if (held.empty() || gone_[id.index]) {
      return;
    }
    std::vector<uint8_t> bytes(held.begin(), held.end());
    const size_t taken = web_->OnStreamData(id, bytes);
    GH_ASSERT_LE(taken, bytes.size());
    held.assign(bytes.begin() + static_cast<ptrdiff_t>(taken), bytes.end());
  }

  World& world_;
  gh::test::Memory memory_;
  Arena arena_;
  EventLoop loop_;
  std::unique_ptr<Web> web_;
  uint32_t next_ = 1000;
  std::map<uint32_t, std::string> held_;
  std::map<uint32_t, bool> gone_;
  std::vector<net::StreamId> resumed_;
};

}  // namespace gh::xmpp::test
