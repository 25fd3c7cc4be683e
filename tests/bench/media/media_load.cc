// Loads a media relay: every end sends RTP from its own socket to its relay port, round robin, as
// fast as is asked. What comes back fills the sockets' small buffers and is dropped there: the race
// counts what the relay sent by its interface.
//
//   media_load ENDS    a line an end: local address, port, relay's address, port, 1 if it sends
//   stdin: run RATE SECONDS PAYLOAD [FIRST]   stdout: {"sent": ..., "seconds": ...}
// With FIRST, only so many of the ends send. Each in its turn, evenly: no end's packets come
// closer.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct End {
  int socket = -1;
  bool sends = false;
  uint16_t sequence = 0;
  uint32_t ssrc = 0;
};

sockaddr_in AddressOf(const std::string& host, int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

End Open(const std::string& line, uint32_t number) {
  std::istringstream in(line);
  std::string local, relay;
  int local_port = 0, relay_port = 0, sends = 0;
  in >> local >> local_port >> relay >> relay_port >> sends;
  End end;
  end.socket = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  end.sends = sends != 0;
  end.ssrc = 0x10000000 + number;
  const sockaddr_in from = AddressOf(local, local_port);
  const sockaddr_in to = AddressOf(relay, relay_port);
  const int small = 1;
  setsockopt(end.socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  if (bind(end.socket, reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0 ||
      connect(end.socket, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    Fail("media_load: socket");
  }
  return end;
}

uint64_t SendOne(End& end, std::vector<uint8_t>& packet) {
  ++end.sequence;
  const uint32_t timestamp = end.sequence * 160u;
  packet[0] = 0x80;
  packet[1] = 0;
  packet[2] = static_cast<uint8_t>(end.sequence >> 8);
  packet[3] = static_cast<uint8_t>(end.sequence);
  for (int i = 0; i < 4; ++i) {
    packet[4 + i] = static_cast<uint8_t>(timestamp >> (24 - 8 * i));
    packet[8 + i] = static_cast<uint8_t>(end.ssrc >> (24 - 8 * i));
  }
  return send(end.socket, packet.data(), packet.size(), 0) > 0 ? 1 : 0;
}

void Run(std::span<End> ends, double rate, double seconds, size_t payload) {
  std::vector<uint8_t> packet(payload, 0x55);
  const auto begin = Clock::now();
  uint64_t sent = 0;
  uint64_t tried = 0;
  double elapsed = 0;
  for (size_t at = 0; elapsed < seconds; at = (at + 1) % ends.size()) {
    if (!ends[at].sends) {
      continue;
    }
    sent += SendOne(ends[at], packet);
    if (++tried % 16 == 0) {
      elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
      const double due = static_cast<double>(tried) / rate;
      if (due > elapsed + 0.0005) {
        std::this_thread::sleep_for(std::chrono::duration<double>(due - elapsed));
      }
    }
  }
  std::printf("{\"sent\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(sent),
              elapsed);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: media_load ENDS\n", stderr);
    return 2;
  }
  std::vector<End> ends;
  std::ifstream file(argv[1]);
  for (std::string line; std::getline(file, line);) {
    ends.push_back(Open(line, static_cast<uint32_t>(ends.size())));
  }
  for (std::string line; !ends.empty() && std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string word;
    double rate = 0, seconds = 0;
    size_t payload = 0, first = 0;
    in >> word >> rate >> seconds >> payload;
    first = in >> first ? std::min(first, ends.size()) : ends.size();
    Run(std::span(ends).first(first), rate, seconds, payload);
  }
  return 0;
}
