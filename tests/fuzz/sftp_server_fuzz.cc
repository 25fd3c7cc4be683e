// SFTP: any bytes from a client, in pieces; the server keeps its bounds and lets go of its files.
// The first byte chooses the size of the pieces.
#include <memory>
#include <vector>

#include "firmware/admin/files/sftp_server.h"
#include "tests/fuzz/file_scene.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* scene = new gh::admin::FileScene();
  static auto* server = new gh::admin::SftpServer(scene->files);
  if (size == 0) {
    return 0;
  }
  server->Start(scene->user);
  scene->Drive(*server, {data + 1, size - 1}, data[0] + 1u);
  server->Close();
  GH_ASSERT_EQ(scene->files.open_count(), 0u);
  return 0;
}
