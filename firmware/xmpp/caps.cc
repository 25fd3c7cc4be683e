#include "firmware/xmpp/caps.h"

#include <algorithm>
#include <array>

#include "crypto/legacy.h"
#include "hal/rt/base64.h"

namespace gh::xmpp {
namespace {

constexpr std::string_view kNotify = "+notify";

template <size_t kMax>
struct Texts {
  std::array<std::string_view, kMax> at = {};
  uint32_t count = 0;
  bool ok = true;

  void Add(std::string_view text) {
    ok = ok && count < kMax;
    if (ok) {
      at[count++] = text;
    }
  }
  std::span<std::string_view> Sorted() {
    const auto all = std::span(at).first(count);
    std::sort(all.begin(), all.end());
    return all;
  }
};

std::string_view LanguageOf(const Node& node) {
  for (const Attribute& each : std::span(node.attributes, node.attribute_count)) {
    if (each.space == ns::kXml && each.name == "lang") {
      return each.value;
    }
  }
  return {};
}

std::string_view TypeOf(const Node& form) {
  for (const Node* field = form.FirstElement(); field != nullptr; field = field->NextElement()) {
    const Node* value = field->Child("value", ns::kForm);
    if (field->Get("var") == "FORM_TYPE" && value != nullptr) {
      return value->Text();
    }
  }
  return {};
}

void AddPart(crypto::Sha1& hash, std::string_view text) {
  hash.Update(text);
  hash.Update("<");
}

bool AddForm(crypto::Sha1& hash, const Node& form) {
  Texts<32> names;
  for (const Node* field = form.FirstElement(); field != nullptr; field = field->NextElement()) {
    if (field->Get("var") != "FORM_TYPE") {
      names.Add(field->Get("var"));
    }
  }
  AddPart(hash, TypeOf(form));
  for (std::string_view name : names.Sorted()) {
    Texts<32> values;
    for (const Node* field = form.FirstElement(); field != nullptr; field = field->NextElement()) {
      const Node* value = field->Get("var") == name ? field->FirstElement() : nullptr;
      for (; value != nullptr; value = value->NextElement()) {
        values.Add(value->Text());
      }
    }
    AddPart(hash, name);
    for (std::string_view value : values.Sorted()) {
      AddPart(hash, value);
    }
    names.ok = names.ok && values.ok;
  }
  return names.ok;
}

}  // namespace

bool MakesHash(const Node& query, std::string_view hash) {
  uint8_t bytes[2048];
  ByteWriter identities(bytes);
  Texts<16> people;
  Texts<kCapsFeaturesMax> features;
  Texts<8> forms;
  for (const Node* child = query.FirstElement(); child != nullptr; child = child->NextElement()) {
    if (child->Is("identity", ns::kInfo)) {
      const size_t from = identities.size();
      for (std::string_view part :
           {child->Get("category"), child->Get("type"), LanguageOf(*child)}) {
        identities.Text(part);
        identities.Char('/');
      }
      identities.Text(child->Get("name"));
      people.Add(identities.text().substr(from));
    } else if (child->Is("feature", ns::kInfo)) {
      features.Add(child->Get("var"));
    } else if (child->Is("x", ns::kForm)) {
      forms.Add(TypeOf(*child));
    }
  }
  crypto::Sha1 sha;
  for (std::string_view each : people.Sorted()) {
    AddPart(sha, each);
  }
  for (std::string_view each : features.Sorted()) {
    AddPart(sha, each);
  }
  bool ok = identities.ok() && people.ok && features.ok && forms.ok;
  for (std::string_view type : forms.Sorted()) {
    for (const Node* child = query.FirstElement(); child != nullptr; child = child->NextElement()) {
      if (child->Is("x", ns::kForm) && TypeOf(*child) == type) {
        ok = AddForm(sha, *child) && ok;
        break;
      }
    }
  }
  uint8_t text_bytes[32];
  ByteWriter text(text_bytes);
  WriteBase64(sha.Finish(), text);
  return ok && text.text() == hash;
}

// A place; those that nobody names any more give way.
Caps* CapsCache::Allocate() {
  Caps* caps = pool_.Allocate();
  for (uint32_t i = 0; i < pool_.capacity() && caps == nullptr; ++i) {
    Caps* other = pool_.At(i);
    if (other->users == 0) {
      by_hash_.Remove(*other);
      chains_.Free(other->wishes);
      pool_.Release(other);
      caps = pool_.Allocate();
    }
  }
  return caps;
}

Caps* CapsCache::Take(std::string_view hash) {
  if (hash.empty() || hash.size() > 40) {
    return nullptr;
  }
  Caps* caps = by_hash_.Find(hash);
  if (caps == nullptr) {
    caps = Allocate();
    if (caps == nullptr) {
      return nullptr;
    }
    caps->hash.Assign(hash);
    if (by_hash_.Insert(*caps) != HashInsert::kInserted) {
      pool_.Release(caps);
      return nullptr;
    }
  }
  ++caps->users;
  return caps;
}

void CapsCache::Release(Caps* caps) {
  if (caps == nullptr) {
    return;
  }
  --caps->users;
  if (caps->users == 0 && (!caps->known || !caps->node.linked)) {
    if (caps->node.linked) {
      by_hash_.Remove(*caps);
    }
    chains_.Free(caps->wishes);
    pool_.Release(caps);
  }
}

bool CapsCache::ReadWishes(Caps& caps, const Node& query) {
  uint8_t bytes[kCapsNotifyBytesMax];
  ByteWriter out(bytes);
  for (const Node* child = query.FirstElement(); child != nullptr; child = child->NextElement()) {
    const std::string_view name = child->Get("var");
    if (child->Is("feature", ns::kInfo) && name.ends_with(kNotify) &&
        name.find('\n') == std::string_view::npos) {
      out.Text(name.substr(0, name.size() - kNotify.size()));
      out.Char('\n');
    }
  }
  caps.known = out.ok() && chains_.Assign(caps.wishes, out.text());
  return caps.known;
}

Caps* CapsCache::Learn(Caps* caps, const Node& query) {
  if (caps->known) {
    return caps;
  }
  if (caps->node.linked && MakesHash(query, caps->hash.view())) {
    (void)ReadWishes(*caps, query);
    return caps;
  }
  Caps* own = Allocate();
  if (own != nullptr) {
    own->users = 1;
    if (!ReadWishes(*own, query)) {
      pool_.Release(own);
      own = nullptr;
    }
  }
  Release(caps);
  return own;
}

bool CapsCache::Wants(const Caps& caps, std::string_view node) const {
  uint8_t bytes[kCapsNotifyBytesMax];
  std::string_view rest = chains_.Text(caps.wishes, bytes);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    if (rest.substr(0, end) == node) {
      return true;
    }
    rest = rest.substr(end + 1);
  }
  return false;
}

}  // namespace gh::xmpp
