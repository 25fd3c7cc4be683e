// gatehouse-image: makes keys, signs, verifies, shows and assembles images. `--help` lists the
// verbs.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "crypto/init.h"
#include "image/bootstate.h"
#include "image/tool/disk.h"
#include "image/tool/key.h"
#include "image/tool/package.h"
#include "image/tool/state_file.h"

namespace gh::image::tool {
namespace {

constexpr uint64_t kStoreMibMax = 16 * 1024;  // what the store room uses of a partition

constexpr char kHelp[] =
    R"(usage: gatehouse-image VERB [--option VALUE]... [FILE]

  keygen   --folder DIR [--name release] [--role release|root] [--kind development|production]
           makes DIR/NAME.key (secret, mode 0600) and DIR/NAME.pub; keeps what is there
  embed    --trust KEY.pub... --out FILE.cc [--root-signatures 1]
           writes the loader's table of trusted keys, and how many root keys must sign a key list
  update   --firmware ELF --key KEY.key... --out FILE [--version V] [--build-id B] [--commit C]
           [--security-version N] [--board pc]... [--loader-version-min N] [--block-size BYTES]
           [--kind development|production] [--product NAME] [--sbom FILE]
           packs and signs an update file: the bytes of a slot
           [--key-list FILE]
  sign     --key KEY.key... FILE   adds signatures to an update file (release keys) or to a key
           list (root keys)
  keylist  --release KEY.pub... --key ROOT.key... --sequence N --out FILE [--revoked KEY.pub...]
           [--signatures 1]
           makes a list of the release keys that count, signed by root keys; `show` prints one
  verify   --trust KEY.pub... [--board pc] [--signatures N] FILE
           checks an update file, or every slot of a disk image; exit code 0 if all are good
  show     FILE                    prints a disk's partitions and boot state, and the manifests
  disk     --loader EFI --update FILE --out IMAGE [--slot-b FILE] [--factory FILE]
           [--store-mib N]
           assembles a raw GPT disk: the update goes to slot-a, and to factory unless told
           otherwise
  tamper   --part header|manifest|signatures|keylist|tree|payload --offset BYTE [--xor 1]
           [--slot slot-a|slot-b|factory|all] FILE
           flips bits of one byte, for tests
  bootstate [--slot a|b [--state empty|trial|confirmed|bad] [--tries N] [--newest yes]
           [--slot-security-version N]] [--security-version N] [--lose all]
           [--reset none|keep-network|everything] FILE
           shows a disk's boot state record; changes it first when told to, for tests and repair
)";

struct Arguments {
  std::string verb;
  std::string file;
  std::map<std::string, std::vector<std::string>> options;

  const std::vector<std::string>& All(const std::string& name) const {
    static const std::vector<std::string> kNone;
    const auto found = options.find(name);
    return found == options.end() ? kNone : found->second;
  }
  std::string Get(const std::string& name, const std::string& fallback) const {
    const auto& values = All(name);
    return values.empty() ? fallback : values.back();
  }
  std::string Need(const std::string& name) const {
    if (All(name).empty()) {
      Die(verb + ": --" + name + " is missing");
    }
    return All(name).back();
  }
  uint64_t Number(const std::string& name, const std::string& fallback) const {
    const std::string text = Get(name, fallback);
    char* end = nullptr;
    errno = 0;
    const uint64_t value = std::strtoull(text.c_str(), &end, 0);
    if (text.empty() || *end != '\0' || errno != 0) {
      Die("--" + name + ": not a number: " + text);
    }
    return value;
  }
  bool IsDevelopment() const {
    const std::string kind = Get("kind", "development");
    if (kind != "development" && kind != "production") {
      Die("--kind is development or production");
    }
    return kind == "development";
  }
};

Arguments ParseArguments(int count, char** values) {
  Arguments arguments;
  arguments.verb = count > 1 ? values[1] : "--help";
  for (int i = 2; i < count; ++i) {
    const std::string word = values[i];
    if (word.starts_with("--")) {
      if (i + 1 == count) {
        Die(word + " needs a value");
      }
      arguments.options[word.substr(2)].push_back(values[++i]);
    } else if (arguments.file.empty()) {
      arguments.file = word;
    } else {
      Die("more than one file: " + word);
    }
  }
  return arguments;
}

std::string NeedFile(const Arguments& arguments) {
  if (arguments.file.empty()) {
    Die(arguments.verb + ": which file?");
  }
  return arguments.file;
}

int Keygen(const Arguments& arguments) {
  const std::string folder = arguments.Need("folder");
  const std::string name = arguments.Get("name", "release");
  const bool is_root = arguments.Get("role", "release") == "root";
  const bool made =
      MakeKey(folder, name,
              is_root ? gatehouse_image_KeyRole_KEY_ROOT : gatehouse_image_KeyRole_KEY_RELEASE,
              arguments.IsDevelopment());
  const TrustedKey key = LoadPublicKey(folder + "/" + name + ".pub");
  std::printf("%s %s/%s.key, key id %s\n", made ? "made" : "kept", folder.c_str(), name.c_str(),
              HexText(crypto::KeyIdOf(key.key)).c_str());
  return 0;
}

// No more than there are root keys: a loader that no key list could satisfy is not made.
uint32_t NeedRootSignatures(const Arguments& arguments) {
  const uint64_t count = arguments.Number("root-signatures", "1");
  uint64_t roots = 0;
  for (const std::string& path : arguments.All("trust")) {
    roots += LoadPublicKey(path).role == gatehouse_image_KeyRole_KEY_ROOT ? 1 : 0;
  }
  if (count < 1 || count > kSignatureCountMax || (count > 1 && count > roots)) {
    Die("embed: --root-signatures is 1 to the number of root keys");
  }
  return static_cast<uint32_t>(count);
}

int Embed(const Arguments& arguments) {
  std::string text =
      "// Generated: the public keys this loader trusts.\n"
      "#include \"boot/trusted_keys.h\"\n\nnamespace gh::boot {\n\n"
      "static constexpr image::TrustedKey kKeys[] = {\n";
  for (const std::string& path : arguments.All("trust")) {
    const TrustedKey key = LoadPublicKey(path);
    text += "    {{";
    for (uint8_t byte : key.key) {
      text += std::to_string(byte) + ", ";
    }
    text += "},\n     ";
    text += key.role == gatehouse_image_KeyRole_KEY_ROOT ? "gatehouse_image_KeyRole_KEY_ROOT"
                                                         : "gatehouse_image_KeyRole_KEY_RELEASE";
    text += key.is_development ? ", true},\n" : ", false},\n";
  }
  text +=
      "};\n\nstd::span<const image::TrustedKey> TrustedKeys() { return kKeys; }\n"
      "uint32_t RootSignatureCountMin() { return " +
      std::to_string(NeedRootSignatures(arguments)) + "; }\n\n}  // namespace gh::boot\n";
  if (arguments.All("trust").empty()) {
    Die("embed: --trust is missing");
  }
  WriteFile(arguments.Need("out"), {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return 0;
}

std::vector<std::unique_ptr<SigningKey>> LoadKeys(const Arguments& arguments) {
  std::vector<std::unique_ptr<SigningKey>> keys;
  for (const std::string& path : arguments.All("key")) {
    keys.push_back(std::make_unique<SigningKey>());
    LoadSigningKey(path, *keys.back());
  }
  if (keys.empty()) {
    Die(arguments.verb + ": --key is missing");
  }
  return keys;
}

// A root key signs key lists, a release key updates; neither the other's.
void NeedRole(const SigningKey& key, gatehouse_image_KeyRole role) {
  if (key.trusted.role != role) {
    Die(role == gatehouse_image_KeyRole_KEY_ROOT ? "a key list is signed by root keys"
                                                 : "an update is signed by release keys");
  }
}

int Update(const Arguments& arguments) {
  Package package;
  package.product = arguments.Get("product", package.product);
  package.version = arguments.Get("version", package.version);
  package.build_id = arguments.Get("build-id", package.build_id);
  package.commit = arguments.Get("commit", "");
  package.security_version = arguments.Number("security-version", "1");
  package.loader_version_min = static_cast<uint32_t>(arguments.Number("loader-version-min", "1"));
  package.block_size =
      static_cast<uint32_t>(arguments.Number("block-size", std::to_string(kBlockSizeDefault)));
  package.development = arguments.IsDevelopment();
  if (!arguments.All("board").empty()) {
    package.boards = arguments.All("board");
  }
  package.segments.push_back({gatehouse_image_SegmentKind_SEGMENT_FIRMWARE, "firmware",
                              ReadFile(arguments.Need("firmware"))});
  if (const std::string sbom = arguments.Get("sbom", ""); !sbom.empty()) {
    package.segments.push_back({gatehouse_image_SegmentKind_SEGMENT_SBOM, "sbom", ReadFile(sbom)});
  }
  if (const std::string list = arguments.Get("key-list", ""); !list.empty()) {
    package.key_list = ReadFile(list);
    if (const auto parts = ParseKeyList(package.key_list); !parts.ok()) {
      Die(list + ": " + parts.error().what);
    }
  }
  const auto keys = LoadKeys(arguments);
  std::vector<const SigningKey*> pointers;
  for (const auto& key : keys) {
    NeedRole(*key, gatehouse_image_KeyRole_KEY_RELEASE);
    pointers.push_back(key.get());
  }
  const Bytes slot = BuildSlot(package, pointers);
  WriteFile(arguments.Need("out"), slot);
  return 0;
}

int SignFile(const Arguments& arguments) {
  const std::string path = NeedFile(arguments);
  Bytes file = ReadFile(path);
  const auto role = ParseKeyList(file).ok() ? gatehouse_image_KeyRole_KEY_ROOT
                                            : gatehouse_image_KeyRole_KEY_RELEASE;
  for (const auto& key : LoadKeys(arguments)) {
    NeedRole(*key, role);
    file = AddSignature(file, *key);
  }
  WriteFile(path, file);
  return 0;
}

int KeyList(const Arguments& arguments) {
  std::vector<KeyListEntry> entries;
  for (const std::string& path : arguments.All("release")) {
    entries.push_back({LoadPublicKey(path), false});
  }
  for (const std::string& path : arguments.All("revoked")) {
    entries.push_back({LoadPublicKey(path), true});
  }
  const auto keys = LoadKeys(arguments);
  std::vector<const SigningKey*> roots;
  for (const auto& key : keys) {
    NeedRole(*key, gatehouse_image_KeyRole_KEY_ROOT);
    roots.push_back(key.get());
  }
  const Bytes list =
      BuildKeyList(arguments.Number("sequence", arguments.Need("sequence")),
                   static_cast<uint32_t>(arguments.Number("signatures", "1")), entries, roots);
  const auto parts = ParseKeyList(list);
  if (const auto decoded = DecodeKeyList(parts->list); !decoded.ok()) {
    Die(decoded.error().what);
  }
  WriteFile(arguments.Need("out"), list);
  return 0;
}

void ShowKeyList(const KeyListParts& parts) {
  const auto list = DecodeKeyList(parts.list);
  if (!list.ok()) {
    std::printf("  %s\n", list.error().what);
    return;
  }
  std::printf("  key list %llu: an update needs %u signature%s\n",
              static_cast<unsigned long long>(list->sequence), list->signature_count_min,
              list->signature_count_min == 1 ? "" : "s");
  for (unsigned i = 0; i < list->keys_count; ++i) {
    crypto::PublicKey key;
    std::copy(std::begin(list->keys[i].public_key), std::end(list->keys[i].public_key),
              key.begin());
    std::printf("  release key id %s%s%s\n", HexText(crypto::KeyIdOf(key)).c_str(),
                list->keys[i].development ? ", development" : "",
                list->keys[i].revoked ? ", REVOKED" : "");
  }
  for (size_t at = 0; at < parts.signatures.size(); at += kSignatureRecordSize) {
    const auto record = DecodeSignature(parts.signatures.subspan(at).first<kSignatureRecordSize>());
    std::printf("  signature by root key id %s (not checked here)\n",
                HexText(record.key_id).c_str());
  }
}

Bytes ReadSlot(const RandomFile& file, const SlotPlace& place) {
  Bytes bytes(std::min<uint64_t>(place.size, kSlotSizeMax));
  file.Read(place.offset, bytes);
  return bytes;
}

std::string Label(const std::string& path, const SlotPlace& place) {
  return place.name.empty() ? path : place.name;
}

// Prints the verdict; true when the slot is good.
bool VerifyOne(const std::string& label, const Bytes& bytes, const TrustPolicy& policy) {
  const auto layout = ParseSlotHeader(bytes, bytes.size());
  if (!layout.ok()) {
    std::printf("%s: %s\n", label.c_str(), layout.error().what);
    return false;
  }
  VerifiedSlot slot;
  const std::span<const uint8_t> all(bytes);
  const auto metadata = VerifyMetadata(*layout, all.first(layout->payload_offset), policy, slot);
  if (!metadata.ok()) {
    std::printf("%s: %s\n", label.c_str(), metadata.error().what);
    return false;
  }
  uint32_t bad_block = 0;
  const auto payload =
      VerifyPayload(slot, all.subspan(layout->payload_offset, layout->payload_size), bad_block);
  if (!payload.ok()) {
    std::printf("%s: %s (block %u)\n", label.c_str(), payload.error().what, bad_block);
    return false;
  }
  std::printf("%s: good, version %s, key id %s\n", label.c_str(), slot.manifest.version,
              HexText(slot.key_id).c_str());
  return true;
}

int Verify(const Arguments& arguments) {
  std::vector<TrustedKey> keys;
  for (const std::string& path : arguments.All("trust")) {
    keys.push_back(LoadPublicKey(path));
  }
  const std::string board = arguments.Get("board", "pc");
  TrustPolicy policy;
  policy.keys = keys;
  policy.board = board;
  policy.loader_version = UINT32_MAX;
  policy.signature_count_min = static_cast<uint32_t>(arguments.Number("signatures", "1"));
  if (policy.signature_count_min == 0 || policy.signature_count_min > kSignatureCountMax) {
    Die("--signatures is out of range");
  }
  const std::string path = NeedFile(arguments);
  const RandomFile file(path, RandomFile::Mode::kRead);
  bool good = true;
  bool any = false;
  for (const SlotPlace& place : FindSlots(file)) {
    const Bytes bytes = ReadSlot(file, place);
    if (!place.name.empty() &&
        ParseSlotHeader(bytes, bytes.size()).code() == ErrorCode::kNotFound) {
      std::printf("%s: empty\n", place.name.c_str());
      continue;
    }
    any = true;
    good = VerifyOne(Label(path, place), bytes, policy) && good;
  }
  return good && any ? 0 : 1;
}

void ShowManifest(const SlotLayout& layout, const Bytes& bytes) {
  const std::span<const uint8_t> all(bytes);
  const auto manifest_bytes = all.subspan(layout.manifest_offset, layout.manifest_size);
  const auto manifest = DecodeManifest(manifest_bytes);
  if (!manifest.ok()) {
    std::printf("  %s\n", manifest.error().what);
    return;
  }
  std::printf("  product %s, version %s, security version %llu%s\n", manifest->product,
              manifest->version, static_cast<unsigned long long>(manifest->security_version),
              manifest->development ? ", DEVELOPMENT" : "");
  std::printf("  build id %s, commit %s, needs loader %u\n  boards:", manifest->build_id,
              manifest->commit, manifest->loader_version_min);
  for (unsigned i = 0; i < manifest->boards_count; ++i) {
    std::printf(" %s", manifest->boards[i]);
  }
  std::printf("\n  block size %u\n", manifest->block_size);
  for (unsigned i = 0; i < manifest->segments_count; ++i) {
    const Segment& segment = manifest->segments[i];
    std::printf("  segment %-10s %10llu bytes, tree root %s\n", segment.name,
                static_cast<unsigned long long>(segment.size), HexText(segment.tree_root).c_str());
  }
  for (uint32_t at = 0; at < layout.signatures_size; at += kSignatureRecordSize) {
    const auto record =
        DecodeSignature(all.subspan(layout.signatures_offset + at).first<kSignatureRecordSize>());
    std::printf("  signature by key id %s (not checked here)\n", HexText(record.key_id).c_str());
  }
}

void ShowBootState(const RandomFile& file, const GptPartition& partition) {
  for (uint32_t copy = 0; copy < kBootStateCopyCount; ++copy) {
    std::array<uint8_t, kBootStateCopySize> bytes;
    file.Read(partition.first_block * kDiskBlockSize + uint64_t{copy} * kBootStateCopyStride,
              bytes);
    const auto state = DecodeBootState(bytes, copy);
    if (!state.ok()) {
      std::printf("boot state copy %u: %s\n", copy, state.error().what);
      continue;
    }
    std::printf("boot state copy %u: sequence %llu, security version %llu\n", copy,
                static_cast<unsigned long long>(state->sequence),
                static_cast<unsigned long long>(state->security_version));
  }
}

Bytes ReadHead(const std::string& path) {
  const RandomFile file(path, RandomFile::Mode::kRead);
  Bytes head(std::min<uint64_t>(file.size(), kKeyListSizeMax));
  file.Read(0, head);
  return head;
}

int Show(const Arguments& arguments) {
  const std::string path = NeedFile(arguments);
  if (const Bytes head = ReadHead(path); ParseKeyList(head, false).ok()) {
    ShowKeyList(*ParseKeyList(head, false));
    return 0;
  }
  const RandomFile file(path, RandomFile::Mode::kRead);
  if (const auto table = ReadDiskTable(file)) {
    for (const GptPartition& partition : table->all()) {
      std::printf(
          "%-10s blocks %llu to %llu, %llu MiB\n", partition.name.c_str(),
          static_cast<unsigned long long>(partition.first_block),
          static_cast<unsigned long long>(partition.last_block),
          static_cast<unsigned long long>(partition.block_count() * kDiskBlockSize / kMebibyte));
    }
    if (const auto* state = table->FindType(SpecOf(PartitionRole::kBootState).type)) {
      ShowBootState(file, *state);
    }
  }
  for (const SlotPlace& place : FindSlots(file)) {
    const Bytes bytes = ReadSlot(file, place);
    const auto layout = ParseSlotHeader(bytes, bytes.size());
    if (!layout.ok()) {
      std::printf("%s: %s\n", Label(path, place).c_str(), layout.error().what);
      continue;
    }
    std::printf("%s: %llu bytes\n", Label(path, place).c_str(),
                static_cast<unsigned long long>(layout->total_size));
    ShowManifest(*layout, bytes);
    const auto list =
        ParseKeyList(std::span(bytes).subspan(layout->key_list_offset, layout->key_list_size));
    if (list.ok()) {
      ShowKeyList(*list);
    }
  }
  return 0;
}

// An update file that is well formed; whose it is, the loader will ask.
Bytes ReadUpdate(const std::string& path, Manifest& manifest) {
  Bytes slot = ReadFile(path);
  const auto layout = ParseSlotHeader(slot, slot.size());
  if (!layout.ok()) {
    Die(path + ": " + layout.error().what);
  }
  const auto decoded =
      DecodeManifest(std::span(slot).subspan(layout->manifest_offset, layout->manifest_size));
  if (!decoded.ok()) {
    Die(path + ": " + decoded.error().what);
  }
  manifest = *decoded;
  return slot;
}

int Disk(const Arguments& arguments) {
  DiskPlan plan;
  plan.output = arguments.Need("out");
  plan.loader = ReadFile(arguments.Need("loader"));
  Manifest manifest, other;
  const std::string update = arguments.Need("update");
  plan.slot_a = ReadUpdate(update, manifest);
  plan.factory = ReadUpdate(arguments.Get("factory", update), other);
  if (const std::string slot_b = arguments.Get("slot-b", ""); !slot_b.empty()) {
    plan.slot_b = ReadUpdate(slot_b, other);
  }
  plan.build_id = manifest.build_id;
  plan.security_version = manifest.security_version;
  const uint64_t least = plan.store_size / kMebibyte;
  const uint64_t store_mib = arguments.Number("store-mib", std::to_string(least));
  if (store_mib < least || store_mib > kStoreMibMax) {
    Die("--store-mib: from " + std::to_string(least) + " to " + std::to_string(kStoreMibMax));
  }
  plan.store_size = store_mib * kMebibyte;
  WriteDisk(plan);
  return 0;
}

// The part's offset and size within a slot.
std::pair<uint64_t, uint64_t> PartOf(const SlotLayout& layout, const std::string& part) {
  if (part == "header") {
    return {0, kSlotHeaderSize};
  }
  if (part == "manifest") {
    return {layout.manifest_offset, layout.manifest_size};
  }
  if (part == "signatures") {
    return {layout.signatures_offset, layout.signatures_size};
  }
  if (part == "keylist") {
    return {layout.key_list_offset, layout.key_list_size};
  }
  if (part == "tree") {
    return {layout.tree_offset, layout.tree_size};
  }
  if (part == "payload") {
    return {layout.payload_offset, layout.payload_size};
  }
  Die("tamper: no such part: " + part);
}

int Tamper(const Arguments& arguments) {
  const std::string wanted = arguments.Get("slot", "all");
  const uint64_t offset = arguments.Number("offset", "0");
  const uint64_t mask = arguments.Number("xor", "1");
  RandomFile file(NeedFile(arguments), RandomFile::Mode::kUpdate);
  uint32_t count = 0;
  for (const SlotPlace& place : FindSlots(file)) {
    const auto layout = ParseSlotHeader(ReadSlot(file, place), place.size);
    if ((wanted != "all" && wanted != place.name) || !layout.ok()) {
      continue;
    }
    const auto [start, size] = PartOf(*layout, arguments.Need("part"));
    if (offset >= size || mask == 0 || mask > 0xff) {
      Die("tamper: the part has " + std::to_string(size) + " bytes");
    }
    uint8_t byte[1];
    file.Read(place.offset + start + offset, byte);
    byte[0] = static_cast<uint8_t>(byte[0] ^ mask);
    file.Write(place.offset + start + offset, byte);
    ++count;
  }
  if (count == 0) {
    Die("tamper: no such slot, or none with an image");
  }
  std::printf("changed %u slot%s\n", count, count == 1 ? "" : "s");
  return 0;
}

int State(const Arguments& arguments) {
  const auto number = [&](const char* name) {
    return arguments.All(name).empty() ? std::optional<uint64_t>()
                                       : std::optional(arguments.Number(name, ""));
  };
  StateEdit edit;
  edit.slot = arguments.Get("slot", "");
  edit.state = arguments.Get("state", "");
  edit.tries = number("tries");
  edit.slot_security_version = number("slot-security-version");
  edit.is_newest = arguments.Get("newest", "no") == "yes";
  edit.floor = number("security-version");
  edit.reset = arguments.Get("reset", "");
  edit.is_lost = arguments.Get("lose", "") == "all";
  EditState(NeedFile(arguments), edit);
  return 0;
}

int Main(int count, char** values) {
  crypto::Initialise();
  const Arguments arguments = ParseArguments(count, values);
  const std::map<std::string, int (*)(const Arguments&)> verbs = {
      {"keygen", Keygen},   {"embed", Embed},     {"update", Update}, {"sign", SignFile},
      {"verify", Verify},   {"show", Show},       {"disk", Disk},     {"tamper", Tamper},
      {"keylist", KeyList}, {"bootstate", State},
  };
  const auto verb = verbs.find(arguments.verb);
  if (verb == verbs.end()) {
    std::fputs(kHelp, stdout);
    return arguments.verb == "--help" || arguments.verb == "help" ? 0 : 2;
  }
  return verb->second(arguments);
}

}  // namespace
}  // namespace gh::image::tool

int main(int count, char** values) { return gh::image::tool::Main(count, values); }
