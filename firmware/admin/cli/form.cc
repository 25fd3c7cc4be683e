// JSON and XML. See form.h.
#include "firmware/admin/cli/form.h"

#include <algorithm>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::admin {
namespace {

std::string_view TakeWord(std::string_view& rest) {
  const size_t start = std::min(rest.find_first_not_of(' '), rest.size());
  rest.remove_prefix(start);
  const size_t size = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, size);
  rest.remove_prefix(size);
  return word;
}

// Whether all words of `path` are the first words of `longer`, which has more.
bool IsBranchOf(std::string_view path, std::string_view longer) {
  for (;;) {
    const std::string_view word = TakeWord(path);
    const std::string_view other = TakeWord(longer);
    if (word.empty()) {
      return !other.empty();
    }
    if (word != other) {
      return false;
    }
  }
}

bool IsElementName(std::string_view word) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !word.empty() && is_letter(word.front()) &&
         std::all_of(word.begin(), word.end(), [&](char c) {
           return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

// Bytes of the well-formed UTF-8 character at `at` (RFC 3629 4); 0: not one.
size_t CharacterSize(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t lead = byte(0);
  const size_t size = lead < 0x80                   ? 1
                      : lead >= 0xc2 && lead < 0xe0 ? 2
                      : lead >= 0xe0 && lead < 0xf0 ? 3
                      : lead >= 0xf0 && lead < 0xf5 ? 4
                                                    : 0;
  if (size == 0 || at + size > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) {
      return 0;
    }
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) >= 0xa0;
  const bool beyond = lead == 0xf4 && byte(1) >= 0x90;
  const bool nonchar = lead == 0xef && byte(1) == 0xbf && byte(2) >= 0xbe;  // U+FFFE, U+FFFF
  return overlong || surrogate || beyond || nonchar ? 0 : size;
}

}  // namespace

void FormWriter::Begin(OutputForm form, std::string_view root, TextSink& sink) {
  form_ = form;
  sink_ = &sink;
  depth_ = 0;
  any_ = {};
  in_list_ = false;
  has_pending_ = false;
  if (form_ == OutputForm::kJson) {
    sink_->Put("{");
  }
  Open(root);
}

void FormWriter::Indent() {
  sink_->Put("\n");
  for (uint32_t i = 0; i < depth_ + (form_ == OutputForm::kJson ? 1 : 0); ++i) {
    sink_->Put("  ");
  }
}

void FormWriter::Separate() {
  if (form_ == OutputForm::kJson) {
    sink_->Put(any_[depth_] ? "," : "");
    Indent();
  } else if (depth_ > 0) {
    Indent();
  }
  any_[depth_] = true;
}

void FormWriter::Escape(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t size = CharacterSize(text, at);
    const char c = text[at];
    const bool control = size == 1 && (static_cast<uint8_t>(c) < 0x20 || c == 0x7f);
    if (size == 0 || (control && c != '\n' && c != '\t')) {
      sink_->Put("\xef\xbf\xbd");  // U+FFFD: it was no character
    } else if (form_ == OutputForm::kJson && (c == '"' || c == '\\')) {
      sink_->Put("\\");
      sink_->Put(text.substr(at, 1));
    } else if (form_ == OutputForm::kJson && control) {
      sink_->Put(c == '\n' ? "\\n" : "\\t");
    } else if (form_ == OutputForm::kXml && std::string_view("&<>\"").find(c) != text.npos) {
      sink_->Put(c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : "&quot;");
    } else {
      sink_->Put(text.substr(at, size));
    }
    at += std::max<size_t>(size, 1);
  }
}

void FormWriter::Tag(std::string_view word, bool closes) {
  sink_->Put(closes ? "</" : "<");
  if (IsElementName(word)) {
    sink_->Put(word);
  } else if (closes) {
    sink_->Put("Item");
  } else {
    sink_->Put("Item name=\"");
    Escape(word);
    sink_->Put("\"");
  }
  sink_->Put(">");
}

void FormWriter::Open(std::string_view word) {
  GH_ASSERT_LT(depth_, kDepthMax);
  Separate();
  if (form_ == OutputForm::kJson) {
    sink_->Put("\"");
    Escape(word);
    sink_->Put("\": {");
  } else {
    Tag(word, false);
  }
  open_[depth_].Assign(word);
  ++depth_;
  any_[depth_] = false;
}

void FormWriter::Close() {
  GH_ASSERT_GT(depth_, 0u);
  const bool had = any_[depth_];
  --depth_;
  if (had) {
    Indent();
  }
  if (form_ == OutputForm::kJson) {
    sink_->Put("}");
  } else {
    Tag(open_[depth_].view(), true);
  }
}

void FormWriter::Leaf(std::string_view word, std::string_view value) {
  Separate();
  if (form_ == OutputForm::kJson) {
    sink_->Put("\"");
    Escape(word);
    sink_->Put("\": \"");
    Escape(value);
    sink_->Put("\"");
  } else {
    Tag(word, false);
    Escape(value);
    Tag(word, true);
  }
}

void FormWriter::Value(std::string_view path, std::string_view value) {
  GH_ASSERT(!in_list_);
  if (has_pending_ && pending_path_.view() == path) {
    pending_value_.Append('\n');
    pending_value_.Append(value);
    return;
  }
  Flush(path);
  has_pending_ = true;
  pending_path_.Assign(path);
  pending_value_.Assign(value);
}

void FormWriter::Number(std::string_view path, uint64_t value) {
  uint8_t bytes[20];
  ByteWriter text(bytes);
  text.Decimal(value);
  Value(path, text.text());
}

void FormWriter::Flush(std::string_view next_path) {
  if (!has_pending_) {
    return;
  }
  has_pending_ = false;
  FixedString<220> path(pending_path_.view());
  if (IsBranchOf(pending_path_.view(), next_path)) {
    path.Append(" Value");  // it has a value and more below it
  }
  Emit(path.view(), pending_value_.view());
}

void FormWriter::Emit(std::string_view path, std::string_view value) {
  std::array<std::string_view, kDepthMax - 1> words;
  uint32_t count = 0;
  std::string_view rest = path;
  while (count + 1 < words.size()) {
    const std::string_view word = TakeWord(rest);
    if (word.empty()) {
      break;
    }
    words[count++] = word;
  }
  const size_t left = std::min(rest.find_first_not_of(' '), rest.size());
  if (left < rest.size()) {  // deeper than there is room: the rest is one word
    words[count++] = rest.substr(left);
  }
  if (count == 0) {
    words[count++] = "Value";
  }
  uint32_t same = 0;  // open_[0] is the root
  while (same + 1 < count && same + 1 < depth_ && open_[same + 1] == words[same]) {
    ++same;
  }
  while (depth_ > same + 1) {
    Close();
  }
  while (same + 1 < count) {
    Open(words[same++]);
  }
  Leaf(words[count - 1], value);
}

void FormWriter::BeginList(std::string_view name) {
  GH_ASSERT(!in_list_);
  Flush("");
  while (depth_ > 1) {
    Close();
  }
  in_list_ = true;
  list_name_.Assign(name);
  if (form_ == OutputForm::kJson) {
    Separate();
    sink_->Put("\"");
    Escape(name);
    sink_->Put("\": [");
    any_[++depth_] = false;
  }
}

void FormWriter::Text(std::string_view text) {
  GH_ASSERT(in_list_);
  Separate();
  if (form_ == OutputForm::kJson) {
    sink_->Put("\"");
    Escape(text);
    sink_->Put("\"");
  } else {
    Tag(list_name_.view(), false);
    Escape(text);
    Tag(list_name_.view(), true);
  }
}

void FormWriter::End() {
  Flush("");
  if (in_list_ && form_ == OutputForm::kJson) {
    const bool had = any_[depth_];
    --depth_;
    if (had) {
      Indent();
    }
    sink_->Put("]");
  }
  in_list_ = false;
  while (depth_ > 0) {
    Close();
  }
  sink_->Put(form_ == OutputForm::kJson ? "\n}\n" : "\n");
}

}  // namespace gh::admin
