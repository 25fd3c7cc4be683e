// Bytes from a terminal through the key decoder and the line editor: the line stays whole UTF-8 and
// within its limit.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "firmware/admin/cli/line_editor.h"

using namespace gh::admin;

namespace {
class Nowhere final : public TextSink {
 public:
  void Put(std::string_view text) override { written += text.size(); }
  size_t written = 0;
};

void CheckUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (size == 0 || i + size > text.size()) {
      std::abort();
    }
    for (size_t k = 1; k < size; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) {
        std::abort();
      }
    }
    i += size;
  }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Nowhere sink;
  static LineEditor* editor = nullptr;
  delete editor;
  editor = new LineEditor(sink);
  KeyDecoder decoder;
  editor->Start("> ", size % 3 == 0 ? EditMode::kSecret : EditMode::kCommand);
  for (size_t i = 0; i < size; ++i) {
    const KeyPress press = decoder.Feed(data[i]);
    if (press.key == Key::kEnter) {
      editor->AddHistory(editor->text());
      editor->Finish();
      editor->Start("> ", EditMode::kCommand);
    } else if (press.key != Key::kNone) {
      editor->Handle(press);
    }
    CheckUtf8(editor->text());
    CheckUtf8(editor->before_cursor());
  }
  return 0;
}
