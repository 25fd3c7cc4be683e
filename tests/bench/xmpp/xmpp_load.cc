// Load for an XMPP server, ours or a peer's: many sessions over direct TLS in one thread, all of
// them ordinary clients (SCRAM-SHA-256, RFC 6120 and 6121, XEP-0198, XEP-0280, XEP-0045).
//
//   xmpp_load SERVER PORT DOMAIN ROOMS PASSWORD [OWN ADDRESS]
//
// Users are u0, u1, ... . Commands on stdin, one line of JSON each as answer:
//   login FIRST COUNT RESOURCE WINDOW [presence] [managed] [carbons] [group=N] [sources=N]
//   pairs COUNT WINDOW SECONDS     messages from each even session to the next one
//   rate COUNT PER_SECOND SECONDS  the same at a given rate, with delays
//   join ROOM           all sessions enter a room
//   room SENDERS WINDOW SECONDS    messages to all of that room
//   logout, quit
// With sources=N, connections come from N addresses in turn, the interface's own and those behind
// it. With group=N, `login` waits until everybody has seen the presence of his group. Certificates
// are not judged. What a message costs here is about what it costs a good client. Fault model:
// none, it is a tool; it exits on errors.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "crypto/digest.h"
#include "crypto/init.h"
#include "crypto/mac.h"
#include "crypto/tls_endpoint.h"
#include "crypto/tls_session.h"
#include "hal/entropy.h"
#include "hal/rt/base64.h"

namespace gh::bench {
namespace {

constexpr size_t kHeapBytes = size_t{3} << 30;  // touched as it is used
constexpr rlim_t kFilesMax = 200'000;
constexpr size_t kBodyBytes = 64;
constexpr uint64_t kPatienceNs = 120'000'000'000;
constexpr const char* kHeader =
    "<?xml version='1.0'?><stream:stream version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' to='";

uint64_t NowNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

[[noreturn]] void Die(const std::string& text) {
  std::cerr << "xmpp_load: " << text << "\n";
  std::exit(1);
}

class SystemEntropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    if (getrandom(out.data(), out.size(), 0) != static_cast<ssize_t>(out.size())) {
      Die("no randomness");
    }
  }
  const char* source() const override { return "getrandom"; }
};

class SystemClock final : public hal::Clock {
 public:
  Instant Now() override { return Instant{static_cast<int64_t>(NowNs())}; }
  WallTime Wall() override { return {std::time(nullptr) * 1'000'000'000, true}; }
  void SetWall(int64_t) override {}
};

class Credulous final : public crypto::PeerCheck {
 public:
  crypto::PeerVerdict Check(const mbedtls_x509_crt&, const crypto::PeerExpectation&) override {
    return crypto::PeerVerdict::kGood;
  }
};

std::string Base64Of(std::string_view text) {
  std::vector<uint8_t> bytes(Base64Size(text.size()));
  ByteWriter out(bytes);
  WriteBase64(AsBytes(text), out);
  return std::string(out.text());
}

std::string FromBase64(std::string_view text) {
  std::vector<uint8_t> bytes(text.size());
  ByteWriter out(bytes);
  return ReadBase64(text, out) ? std::string(out.text()) : "";
}

std::string_view Between(std::string_view text, std::string_view a, std::string_view b) {
  const size_t from = text.find(a);
  if (from == std::string_view::npos) {
    return {};
  }
  const std::string_view rest = text.substr(from + a.size());
  return rest.substr(0, rest.find(b));
}

// An attribute of a stanza's own tag, by whatever quotes.
std::string_view Attribute(std::string_view stanza, std::string_view name) {
  const std::string_view tag = stanza.substr(0, stanza.find('>'));
  const std::string mark = " " + std::string(name) + "=";
  const size_t at = tag.find(mark);
  if (at == std::string_view::npos || at + mark.size() >= tag.size()) {
    return {};
  }
  const char quote = tag[at + mark.size()];
  const std::string_view rest = tag.substr(at + mark.size() + 1);
  return rest.substr(0, rest.find(quote));
}

// RFC 5802's Hi(), remembered: peers may give all users one salt.
std::array<uint8_t, 32> SaltedPassword(const std::string& password, const std::string& salt,
                                       int iterations) {
  static std::map<std::string, std::array<uint8_t, 32>> known;
  auto [at, is_new] = known.try_emplace(salt + std::to_string(iterations));
  if (!is_new) {
    return at->second;
  }
  crypto_auth_hmacsha256_state keyed;
  const auto bytes = AsBytes(password);
  crypto_auth_hmacsha256_init(&keyed, bytes.data(), bytes.size());
  std::array<uint8_t, 32> u = {};
  const std::string first = salt + std::string("\0\0\0\1", 4);
  for (int i = 0; i < iterations; ++i) {
    crypto_auth_hmacsha256_state state = keyed;
    const auto message = i == 0 ? AsBytes(first) : std::span<const uint8_t>(u);
    crypto_auth_hmacsha256_update(&state, message.data(), message.size());
    crypto_auth_hmacsha256_final(&state, u.data());
    for (size_t k = 0; k < u.size(); ++k) {
      at->second[k] ^= u[k];
    }
  }
  return at->second;
}

// Cuts a stream into what stands directly below its root.
class Splitter {
 public:
  void Reset() { *this = Splitter(); }
  // Takes one byte; true: stanza() is whole.
  bool Take(char c) {
    if (depth_ > 0 || in_tag_) {
      text_.push_back(c);
    } else if (c == '<') {
      text_.assign(1, c);
    }
    if (!in_tag_) {
      if (c == '<') {
        in_tag_ = true;
        tag_at_ = text_.size() - 1;
      }
      return false;
    }
    if (quote_ != 0) {
      quote_ = c == quote_ ? 0 : quote_;
      return false;
    }
    if (c == '\'' || c == '"') {
      quote_ = c;
      return false;
    }
    return c == '>' && EndTag();
  }
  const std::string& stanza() const { return text_; }
  void Next() { text_.clear(); }

 private:
  bool EndTag() {
    in_tag_ = false;
    const std::string_view tag = std::string_view(text_).substr(tag_at_);
    if (tag.starts_with("<?")) {
      text_.clear();
      return false;
    }
    if (tag.starts_with("<stream:stream") || tag.starts_with("</stream:stream")) {
      text_.clear();
      depth_ = 1;
      return false;
    }
    if (tag.starts_with("</")) {
      --depth_;
    } else if (tag[tag.size() - 2] != '/') {
      ++depth_;
    }
    return depth_ == 1;
  }

  std::string text_;
  size_t tag_at_ = 0;
  uint32_t depth_ = 0;
  bool in_tag_ = false;
  char quote_ = 0;
};

struct Settings {
  sockaddr_in server = {};
  std::string domain;
  std::string rooms;
  std::string password;
};

struct LoginOptions {
  std::string resource;
  bool presence = false;
  bool managed = false;
  bool carbons = false;
  uint32_t group = 0;
  uint32_t sources = 1;
};

class Load;

enum class Stage : uint8_t { kConnecting, kTls, kFirst, kAuth, kSecond, kBind, kEnable, kReady };

class Session final : public crypto::TlsWire {
 public:
  Session(Load& load, uint32_t index, uint32_t user, const LoginOptions& options)
      : load_(load), index_(index), user_(user), options_(options) {}
  ~Session() { close(fd_); }

  void Connect();
  void OnEvent(uint32_t events);
  void Say(std::string_view text);
  void Flush();
  void Leave();
  size_t OnTlsOutput(std::span<const uint8_t> bytes) override;
  void OnTlsReady() override {}

  std::string name() const { return "u" + std::to_string(user_); }
  std::string bare() const;
  std::string full() const { return bare() + "/" + options_.resource; }
  uint32_t user() const { return user_; }
  bool is_ready() const { return stage_ == Stage::kReady; }
  bool is_over() const { return over_; }

  uint32_t in_flight = 0;  // messages of its own
  bool is_flushed_later = false;
  uint64_t seen = 0;  // whose presence of its group it has
  bool is_in_room = false;

 private:
  void OnReadable();
  void OnPlain(std::string_view text);
  void OnStanza(const std::string& stanza);
  void OnNegotiation(const std::string& stanza);
  void OnChallenge(std::string_view challenge);
  void OnPresence(const std::string& stanza);
  void NextStep();

  Load& load_;
  uint32_t index_;
  uint32_t user_;
  LoginOptions options_;
  int fd_ = -1;
  Stage stage_ = Stage::kConnecting;
  bool leaving_ = false;
  bool over_ = false;
  bool waits_for_room_ = false;
  uint32_t asked_ = 0;    // what of the options was asked for
  uint32_t handled_ = 0;  // XEP-0198
  std::string first_;
  Splitter splitter_;
  std::string output_;
  size_t sent_ = 0;
  crypto::TlsSession tls_;
};

enum class Mode : uint8_t { kNone, kPairs, kRate, kRoom };

class Load {
 public:
  explicit Load(Settings settings)
      : settings_(std::move(settings)),
        memory_(static_cast<uint8_t*>(mmap(nullptr, kHeapBytes, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))),
        owners_(1),
        heap_({memory_, kHeapBytes}, owners_),
        random_(entropy_),
        environment_(heap_, random_, clock_),
        endpoint_({.environment = environment_,
                   .side = crypto::TlsSide::kClient,
                   .peers = &peers_,
                   .peer_role = crypto::PeerRole::kServer}) {
    rlimit limit = {kFilesMax, kFilesMax};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {  // that takes a privilege
      (void)getrlimit(RLIMIT_NOFILE, &limit);
      limit.rlim_cur = limit.rlim_max;
      (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    crypto::TlsPolicy policy;
    policy.tickets = false;
    if (!endpoint_.Configure(policy).ok()) {
      Die("no TLS");
    }
  }

  bool Obey(const std::string& line);

  const Settings& settings() const { return settings_; }
  crypto::TlsEndpoint& endpoint() { return endpoint_; }
  int epoll() const { return epoll_; }
  in_addr_t own_address() const { return own_address_; }
  void SetOwnAddress(in_addr_t address) { own_address_ = address; }
  void FlushLater(Session& session) {
    if (!session.is_flushed_later) {
      session.is_flushed_later = true;
      dirty_.push_back(&session);
    }
  }
  void OnMessage(Session& receiver, std::string_view stanza);
  uint32_t group() const { return group_; }
  const std::string& room() const { return room_; }

 private:
  void Poll(int timeout_ms);
  void Until(const char* what, const std::function<bool()>& done);
  uint64_t CountOf(bool (Session::*is)() const) const;
  void LogIn(std::istringstream& words);
  void LogOut();
  void Join(std::istringstream& words);
  void Measure(Mode mode, std::istringstream& words);
  void SendOne(uint32_t sender);
  void SendDue(uint64_t rate, uint64_t begin, uint64_t& due_sent);
  double DelayUs(double share);

  Settings settings_;
  SystemEntropy entropy_;
  SystemClock clock_;
  Credulous peers_;
  uint8_t* memory_;
  std::vector<HeapOwner> owners_;
  Heap heap_;
  crypto::Random random_;
  crypto::TlsEnvironment environment_;
  crypto::TlsEndpoint endpoint_;
  int epoll_ = epoll_create1(0);
  in_addr_t own_address_ = INADDR_ANY;  // of the first session
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<Session*> dirty_;
  uint32_t group_ = 0;
  std::string room_;
  Mode mode_ = Mode::kNone;
  bool running_ = false;
  uint32_t sender_count_ = 0;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  std::vector<uint64_t> delays_;
};

// --- A session -----------------------------------------------------------------------------------

std::string Session::bare() const { return name() + "@" + load_.settings().domain; }

void Session::Connect() {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd_ < 0) {
    Die(std::string("socket: ") + std::strerror(errno));
  }
  const int on = 1;
  (void)setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto& to = load_.settings().server;
  if (options_.sources > 1) {
    // No port before connect(): each address has all of them.
    (void)setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in from = {};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(ntohl(load_.own_address()) + index_ % options_.sources);
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) {
      Die(std::string("bind: ") + std::strerror(errno));
    }
  }
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
      errno != EINPROGRESS) {
    Die(std::string("connect: ") + std::strerror(errno));
  }
  epoll_event event = {};
  event.events = EPOLLOUT;
  event.data.ptr = this;
  (void)epoll_ctl(load_.epoll(), EPOLL_CTL_ADD, fd_, &event);
}

size_t Session::OnTlsOutput(std::span<const uint8_t> bytes) {
  output_.append(AsText(bytes));
  load_.FlushLater(*this);
  return bytes.size();
}

void Session::Say(std::string_view text) {
  const auto bytes = AsBytes(text);
  for (size_t done = 0; done < bytes.size();) {
    const auto wrote = tls_.Write(bytes.subspan(done));
    if (!wrote.ok()) {
      Die(name() + " cannot write");
    }
    done += *wrote;
  }
}

void Session::Flush() {
  is_flushed_later = false;
  while (sent_ < output_.size()) {
    const ssize_t count = send(fd_, output_.data() + sent_, output_.size() - sent_, MSG_NOSIGNAL);
    if (count < 0) {
      break;
    }
    sent_ += static_cast<size_t>(count);
  }
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = this;
  if (sent_ == output_.size()) {
    output_.clear();
    sent_ = 0;
    return;
  }
  event.events |= EPOLLOUT;
  (void)epoll_ctl(load_.epoll(), EPOLL_CTL_MOD, fd_, &event);
}

void Session::OnEvent(uint32_t events) {
  if (stage_ == Stage::kConnecting) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.ptr = this;
    (void)epoll_ctl(load_.epoll(), EPOLL_CTL_MOD, fd_, &event);
    stage_ = Stage::kTls;
    if (!tls_.Start(load_.endpoint(), *this, {.server_name = load_.settings().domain}).ok()) {
      Die("no TLS session");
    }
    return;
  }
  if ((events & EPOLLOUT) != 0) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.ptr = this;
    (void)epoll_ctl(load_.epoll(), EPOLL_CTL_MOD, fd_, &event);
    Flush();
  }
  if ((events & ~EPOLLOUT) != 0) {
    OnReadable();
  }
}

void Session::OnReadable() {
  static uint8_t bytes[256 * 1024];
  static uint8_t plain[20 * 1024];
  const ssize_t count = recv(fd_, bytes, sizeof bytes, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  std::span<const uint8_t> in(bytes, static_cast<size_t>(std::max<ssize_t>(count, 0)));
  for (;;) {
    const auto got = count > 0 ? tls_.Read(in, plain) : Result<size_t>(ErrorCode::kClosed);
    if (!got.ok()) {
      if (!leaving_) {
        Die(name() + " lost its connection: " + crypto::TlsFailureText(tls_.failure()) +
            ", after: " + splitter_.stanza());
      }
      over_ = true;
      (void)epoll_ctl(load_.epoll(), EPOLL_CTL_DEL, fd_, nullptr);
      return;
    }
    if (stage_ == Stage::kTls && tls_.is_open()) {
      stage_ = Stage::kFirst;
      Say(kHeader + load_.settings().domain + "'>");
    }
    if (*got == 0) {
      return;
    }
    OnPlain({reinterpret_cast<const char*>(plain), *got});
  }
}

void Session::OnPlain(std::string_view text) {
  for (const char c : text) {
    if (splitter_.Take(c)) {
      OnStanza(splitter_.stanza());
      splitter_.Next();
    }
  }
}

void Session::OnStanza(const std::string& stanza) {
  if (stanza.starts_with("<stream:error")) {
    Die(name() + ": " + stanza);
  }
  if (stanza.starts_with("<message") || stanza.starts_with("<presence") ||
      stanza.starts_with("<iq")) {
    ++handled_;
  }
  if (stage_ != Stage::kReady) {
    OnNegotiation(stanza);
  } else if (stanza.starts_with("<message")) {
    load_.OnMessage(*this, stanza);
  } else if (stanza.starts_with("<presence")) {
    OnPresence(stanza);
  } else if (stanza.starts_with("<iq") && waits_for_room_ && Attribute(stanza, "id") == "room") {
    is_in_room = true;
  } else if (stanza.starts_with("<r ") || stanza.starts_with("<r>") || stanza.starts_with("<r/")) {
    Say("<a xmlns='urn:xmpp:sm:3' h='" + std::to_string(handled_) + "'/>");
  }
}

void Session::OnNegotiation(const std::string& stanza) {
  if (stanza.starts_with("<stream:features")) {
    if (stage_ == Stage::kFirst) {
      stage_ = Stage::kAuth;
      first_ = "n=" + name() + ",r=" + std::to_string(NowNs());
      Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>" +
          Base64Of("n,," + first_) + "</auth>");
    } else {
      stage_ = Stage::kBind;
      Say("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" +
          options_.resource + "</resource></bind></iq>");
    }
  } else if (stanza.starts_with("<challenge")) {
    OnChallenge(Between(stanza, ">", "<"));
  } else if (stanza.starts_with("<success")) {
    splitter_.Reset();
    stage_ = Stage::kSecond;
    Say(kHeader + load_.settings().domain + "'>");
  } else if (stage_ == Stage::kBind && Attribute(stanza, "id") == "bind") {
    if (Attribute(stanza, "type") != "result") {
      Die(name() + ": " + stanza);
    }
    stage_ = Stage::kEnable;
    NextStep();
  } else if (stage_ == Stage::kEnable &&
             (stanza.starts_with("<enabled") || Attribute(stanza, "id") == "carbons")) {
    handled_ = stanza.starts_with("<enabled") ? 0 : handled_;
    NextStep();
  } else if (stanza.starts_with("<failure") || stanza.starts_with("<failed")) {
    Die(name() + ": " + stanza);
  }
}

void Session::OnChallenge(std::string_view challenge) {
  const std::string server = FromBase64(challenge);
  const std::string nonce(Between(server, "r=", ","));
  const std::string salt = FromBase64(Between(server, "s=", ","));
  const int count = std::atoi(std::string(Between(server, "i=", ",")).c_str());
  const auto salted = SaltedPassword(load_.settings().password, salt, count);
  const auto key = crypto::HmacSha256::Of(salted, AsBytes(std::string_view("Client Key")));
  const auto stored = crypto::Sha256::Of(key);
  const std::string last = "c=" + Base64Of("n,,") + ",r=" + nonce;
  const std::string all = first_ + "," + server + "," + last;
  auto proof = crypto::HmacSha256::Of(stored, AsBytes(all));
  for (size_t k = 0; k < proof.size(); ++k) {
    proof[k] ^= key[k];
  }
  Say("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" +
      Base64Of(last + ",p=" + Base64Of(AsText(proof))) + "</response>");
}

// What the options want after the resource is bound, one after the other.
void Session::NextStep() {
  if (asked_++ == 0 && options_.managed) {
    Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    return;
  }
  if (asked_ <= 2 && options_.carbons) {
    asked_ = 3;
    Say("<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    return;
  }
  stage_ = Stage::kReady;
  if (options_.presence) {
    Say("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>");
  }
}

void Session::OnPresence(const std::string& stanza) {
  const std::string_view from = Attribute(stanza, "from");
  const std::string_view type = Attribute(stanza, "type");
  if (type == "error") {
    Die(name() + ": " + stanza);
  } else if (type.empty() && !load_.room().empty() && from.starts_with(load_.room() + "/")) {
    if (from.substr(load_.room().size() + 1) != name()) {
      return;
    }
    if (stanza.find("201") == std::string::npos) {
      is_in_room = true;
      return;
    }
    waits_for_room_ = true;  // it has made the room, which is locked
    Say("<iq type='set' id='room' to='" + load_.room() +
        "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' "
        "type='submit'/></query></iq>");
  } else if (type.empty() && load_.group() != 0 && from.starts_with("u")) {
    const auto other = static_cast<uint32_t>(std::atoi(std::string(from.substr(1)).c_str()));
    seen |= uint64_t{1} << other % load_.group();
  }
}

void Session::Leave() {
  leaving_ = true;
  Say("</stream:stream>");
  tls_.Close();
}

// --- All of them ---------------------------------------------------------------------------------

void Load::Poll(int timeout_ms) {
  for (Session* session : std::exchange(dirty_, {})) {
    session->Flush();
  }
  epoll_event events[64];
  const int count = epoll_wait(epoll_, events, 64, timeout_ms);
  for (int i = 0; i < count; ++i) {
    static_cast<Session*>(events[i].data.ptr)->OnEvent(events[i].events);
  }
  for (Session* session : std::exchange(dirty_, {})) {
    session->Flush();
  }
}

void Load::Until(const char* what, const std::function<bool()>& done) {
  const uint64_t end = NowNs() + kPatienceNs;
  while (!done()) {
    Poll(20);
    if (NowNs() > end) {
      Die(std::string("not in time: ") + what);
    }
  }
}

uint64_t Load::CountOf(bool (Session::*is)() const) const {
  return static_cast<uint64_t>(
      std::ranges::count_if(sessions_, [&](const auto& each) { return (each.get()->*is)(); }));
}

void Load::LogIn(std::istringstream& words) {
  uint32_t first = 0, count = 0, window = 1;
  LoginOptions options;
  words >> first >> count >> options.resource >> window;
  for (std::string word; words >> word;) {
    options.presence |= word == "presence";
    options.managed |= word == "managed";
    options.carbons |= word == "carbons";
    if (word.starts_with("sources=")) {
      options.sources = static_cast<uint32_t>(std::atoi(word.c_str() + 8));
    }
    if (word.starts_with("group=")) {
      options.group = static_cast<uint32_t>(std::atoi(word.c_str() + 6));
    }
  }
  group_ = options.group;
  const uint64_t begin = NowNs();
  const size_t base = sessions_.size();
  size_t ready = base;  // all before it are
  while (ready < base + count) {
    while (sessions_.size() < base + count && sessions_.size() < ready + window) {
      const auto index = static_cast<uint32_t>(sessions_.size());
      const auto user = first + static_cast<uint32_t>(index - base);
      sessions_.push_back(std::make_unique<Session>(*this, index, user, options));
      sessions_.back()->Connect();
    }
    Poll(20);
    while (ready < sessions_.size() && sessions_[ready]->is_ready()) {
      ++ready;
    }
    if (NowNs() > begin + kPatienceNs * 5) {
      Die("not all could log in");
    }
  }
  const uint64_t logged_in = NowNs();
  uint64_t seen = 0;
  if (group_ != 0) {
    const uint64_t all = group_ == 64 ? UINT64_MAX : (uint64_t{1} << group_) - 1;
    Until("presence of all", [&] {
      return std::all_of(sessions_.begin() + static_cast<ptrdiff_t>(base), sessions_.end(),
                         [&](const auto& each) {
                           return (each->seen | uint64_t{1} << each->user() % group_) == all;
                         });
    });
    seen = uint64_t{count} * (group_ - 1);
  }
  std::printf("{\"logins\": %u, \"seconds\": %.6f, \"presences\": %llu, \"all_seconds\": %.6f}\n",
              count, static_cast<double>(logged_in - begin) / 1e9,
              static_cast<unsigned long long>(seen), static_cast<double>(NowNs() - begin) / 1e9);
}

void Load::LogOut() {
  for (auto& session : sessions_) {
    session->Leave();
  }
  Until("all leave", [&] { return CountOf(&Session::is_over) == sessions_.size(); });
  sessions_.clear();
  dirty_.clear();
  std::printf("{}\n");
}

void Load::Join(std::istringstream& words) {
  words >> room_;
  room_ += "@" + settings_.rooms;
  const uint64_t begin = NowNs();
  const auto is_in = [](const auto& each) { return each->is_in_room; };
  for (size_t i = 0; i < sessions_.size(); ++i) {
    sessions_[i]->Say("<presence to='" + room_ + "/" + sessions_[i]->name() +
                      "'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
                      "</presence>");
    if (i == 0 || i % 16 == 0) {
      Until("entering", [&] { return is_in(sessions_[i]); });
    }
  }
  Until("all are in", [&] { return std::ranges::all_of(sessions_, is_in); });
  std::printf("{\"seconds\": %.6f}\n", static_cast<double>(NowNs() - begin) / 1e9);
}

// --- Messages ------------------------------------------------------------------------------------

// The body: when it was sent and by which session.
void Load::SendOne(uint32_t sender) {
  Session& session = *sessions_[sender];
  char body[kBodyBytes + 1];
  const int size = std::snprintf(body, sizeof body, "%llu %u ",
                                 static_cast<unsigned long long>(NowNs()), sender);
  std::fill(body + size, body + kBodyBytes, 'x');
  std::string stanza = mode_ == Mode::kRoom
                           ? "<message type='groupchat' to='" + room_
                           : "<message type='chat' to='" + sessions_[sender + 1]->full();
  stanza += "' id='m" + std::to_string(sent_) + "'><body>";
  stanza.append(body, kBodyBytes);
  stanza += "</body></message>";
  session.Say(stanza);
  ++session.in_flight;
  ++sent_;
}

void Load::OnMessage(Session& receiver, std::string_view stanza) {
  const size_t at = stanza.find("<body>");
  if (at == std::string_view::npos) {
    return;  // a subject
  }
  if (Attribute(stanza, "type") == "error") {
    Die("a message came back: " + std::string(stanza));
  }
  char* end = nullptr;
  const std::string body(stanza.substr(at + 6, kBodyBytes));
  const uint64_t sent_at = std::strtoull(body.c_str(), &end, 10);
  const auto sender = static_cast<uint32_t>(std::strtoul(end, nullptr, 10));
  ++received_;
  if (mode_ == Mode::kRate) {
    delays_.push_back(NowNs() - sent_at);
  }
  if (sender >= sessions_.size() ||
      (mode_ == Mode::kRoom && sessions_[sender].get() != &receiver)) {
    return;
  }
  --sessions_[sender]->in_flight;
  if (running_ && mode_ != Mode::kRate) {
    SendOne(sender);
  }
}

void Load::SendDue(uint64_t rate, uint64_t begin, uint64_t& due_sent) {
  const uint64_t due = (NowNs() - begin) * rate / 1'000'000'000;
  for (; due_sent < due; ++due_sent) {
    SendOne(static_cast<uint32_t>(due_sent % sender_count_) * 2);
  }
}

double Load::DelayUs(double share) {
  if (delays_.empty()) {
    return 0;
  }
  const auto at =
      delays_.begin() + static_cast<ptrdiff_t>(share * static_cast<double>(delays_.size() - 1));
  std::ranges::nth_element(delays_, at);
  return static_cast<double>(*at) / 1000;
}

void Load::Measure(Mode mode, std::istringstream& words) {
  uint64_t rate_or_window = 0;
  double seconds = 0;
  words >> sender_count_ >> rate_or_window >> seconds;
  const uint32_t step = mode == Mode::kRoom ? 1 : 2;
  if (sender_count_ * step > sessions_.size() || sender_count_ == 0) {
    Die("there are not so many sessions");
  }
  mode_ = mode;
  sent_ = received_ = 0;
  delays_.clear();
  running_ = true;
  const uint64_t begin = NowNs();
  const uint64_t end = begin + static_cast<uint64_t>(seconds * 1e9);
  for (uint32_t i = 0; mode != Mode::kRate && i < sender_count_ * rate_or_window; ++i) {
    SendOne(i % sender_count_ * step);
  }
  uint64_t due_sent = 0;
  while (NowNs() < end) {
    if (mode == Mode::kRate) {
      SendDue(rate_or_window, begin, due_sent);
    }
    Poll(1);
  }
  running_ = false;
  const uint64_t copies = mode == Mode::kRoom ? sessions_.size() : 1;
  Until("all messages arrive", [&] { return received_ >= sent_ * copies; });
  const double took = static_cast<double>(NowNs() - begin) / 1e9;
  std::printf(
      "{\"sent\": %llu, \"received\": %llu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": "
      "%.1f}\n",
      static_cast<unsigned long long>(sent_), static_cast<unsigned long long>(received_), took,
      DelayUs(0.5), DelayUs(0.99));
}

bool Load::Obey(const std::string& line) {
  std::istringstream words(line);
  std::string command;
  words >> command;
  if (command == "login") {
    LogIn(words);
  } else if (command == "logout") {
    LogOut();
  } else if (command == "join") {
    Join(words);
  } else if (command == "pairs" || command == "rate" || command == "room") {
    Measure(command == "pairs"  ? Mode::kPairs
            : command == "rate" ? Mode::kRate
                                : Mode::kRoom,
            words);
  } else {
    return false;
  }
  std::fflush(stdout);
  return true;
}

}  // namespace
}  // namespace gh::bench

int main(int argc, char** argv) {
  if (argc != 6 && argc != 7) {
    std::cerr << "usage: xmpp_load SERVER PORT DOMAIN ROOMS PASSWORD [OWN ADDRESS]\n";
    return 2;
  }
  const in_addr_t own = argc == 7 ? inet_addr(argv[6]) : INADDR_ANY;
  gh::crypto::Initialise();
  gh::bench::Settings settings;
  settings.server.sin_family = AF_INET;
  settings.server.sin_addr.s_addr = inet_addr(argv[1]);
  settings.server.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[2])));
  settings.domain = argv[3];
  settings.rooms = argv[4];
  settings.password = argv[5];
  const auto load = std::make_unique<gh::bench::Load>(std::move(settings));
  load->SetOwnAddress(own);
  for (std::string line; std::getline(std::cin, line) && load->Obey(line);) {
  }
  return 0;
}
