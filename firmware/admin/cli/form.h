// What a command says, as JSON or XML: lines "SIP Registration 1 Contact: ..." become nested
// objects or elements, one document a command. Pure; well formed whatever the values hold.
//
//   {"Status": {"SIP": {"Registration": {"1": {"Contact": "..."}}}}}
//   <Status><SIP><Registration><Item name="1"><Contact>...</Contact></Item>...
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/limits.h"
#include "firmware/admin/output_queue.h"
#include "hal/rt/fixed_string.h"

namespace gh::admin {

enum class OutputForm : uint8_t { kTerminal, kJson, kXml };

class FormWriter {
 public:
  void Begin(OutputForm form, std::string_view root, TextSink& sink);
  // From here on to this sink (a document may take many turns).
  void SetSink(TextSink& sink) { sink_ = &sink; }
  // Lines whose paths share first words are to come one after the other. The same path again adds
  // a line to the value.
  void Value(std::string_view path, std::string_view value);
  void Number(std::string_view path, uint64_t value);
  // A list of texts under the root; after the last Value.
  void BeginList(std::string_view name);
  void Text(std::string_view text);
  void End();

 private:
  static constexpr uint32_t kDepthMax = 12;
  using Word = FixedString<80>;
  void Flush(std::string_view next_path);
  void Emit(std::string_view path, std::string_view value);
  void Open(std::string_view word);
  void Close();
  void Leaf(std::string_view word, std::string_view value);
  void Separate();
  void Indent();
  void Escape(std::string_view text);
  void Tag(std::string_view word, bool closes);

  OutputForm form_ = OutputForm::kTerminal;
  TextSink* sink_ = nullptr;
  std::array<Word, kDepthMax> open_ = {};
  uint32_t depth_ = 0;
  std::array<bool, kDepthMax + 1> any_ = {};  // something is written at that depth
  bool in_list_ = false;
  Word list_name_;
  bool has_pending_ = false;
  FixedString<200> pending_path_;
  FixedString<2 * kOutputLineMax> pending_value_;
};

}  // namespace gh::admin
