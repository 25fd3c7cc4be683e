// SCP: any command line (up to a line end) and any bytes behind it, in pieces.
#include <algorithm>

#include "firmware/admin/files/scp_server.h"
#include "tests/fuzz/file_scene.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* scene = new gh::admin::FileScene();
  static auto* server = new gh::admin::ScpServer(scene->files);
  const std::span<const uint8_t> bytes(data, size);
  const auto end = std::find(bytes.begin(), bytes.end(), uint8_t{'\n'});
  const auto line_size = static_cast<size_t>(end - bytes.begin());
  const auto command = gh::admin::ScpServer::Parse(gh::AsText(bytes.first(line_size)));
  if (!command.has_value() || end == bytes.end()) {
    return 0;
  }
  server->Start(*command, scene->user);
  scene->Drive(*server, bytes.subspan(line_size + 1), 1 + size % 50);
  server->FeedEnd();
  server->Close();
  GH_ASSERT_EQ(scene->files.open_count(), 0u);
  return 0;
}
