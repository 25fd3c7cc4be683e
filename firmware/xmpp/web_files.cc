// Files over HTTPS (XEP-0363): PUT into a slot, GET and HEAD by whoever was told the address.
#include <algorithm>

#include "firmware/xmpp/web.h"

namespace gh::xmpp {
namespace {

constexpr size_t kPieceMax = 8192;

}  // namespace

// How many bytes it took of a request for a file.
size_t Web::TakeFileRequest(Connection& connection, const net::HttpRequest& request,
                            size_t head_size, std::span<uint8_t> data) {
  files::File* file = parts_.uploads->Find(request.path);
  const bool is_head = request.method == "HEAD";
  const bool is_put = request.method == "PUT";
  if (!is_put && request.has_body) {
    Refuse(connection, "413 Content Too Large", "a body nobody asked for");
    return data.size();
  }
  ++counters_.requests;
  if (is_put && file != nullptr) {
    return TakeFile(connection, request, head_size);
  }
  if (is_put) {
    return RefuseFile(connection, request, head_size, "404 Not Found", "there is no such slot");
  }
  if (!is_head && request.method != "GET") {
    Answer(connection, "405 Method Not Allowed", "Allow: GET, HEAD, PUT, OPTIONS\r\n", "");
  } else if (file == nullptr || file->state != files::FileState::kWhole) {
    Answer(connection, "404 Not Found", "", "");
  } else {
    SendFile(connection, *file, !is_head);
  }
  return head_size;
}

// Who sends a body without asking first is answered, and his body passed over, if it is no longer
// than a file may be; who waits for leave to send it, or does not say how long it is, is cut off.
size_t Web::RefuseFile(Connection& connection, const net::HttpRequest& request, size_t head_size,
                       const char* status, const char* why) {
  const bool is_bounded =
      request.has_length && !request.expects && request.length <= parts_.uploads->config().size_max;
  connection.drain = is_bounded ? request.length : 0;
  if (!is_bounded) {
    Refuse(connection, status, why);
    return head_size;
  }
  ++counters_.refused;
  parts_.observer.OnRefused(connection.remote, "", why);
  Answer(connection, status, "", "");
  return head_size;
}

// The file's bytes are what follows the request, if it may be written and they are as many as were
// announced.
size_t Web::TakeFile(Connection& connection, const net::HttpRequest& request, size_t head_size) {
  files::File& file = *parts_.uploads->Find(request.path);
  const auto refuse = [&](const char* status, const char* why) {
    return RefuseFile(connection, request, head_size, status, why);
  };
  if (!parts_.uploads->MayWrite(file, request.query)) {
    return refuse("403 Forbidden", "a slot's address without its proof");
  }
  if (!request.has_length) {
    return refuse("411 Length Required", "a file without its length");
  }
  if (request.length != file.head.size) {
    return refuse("413 Content Too Large", "a file of another size than its slot");
  }
  if (file.state != files::FileState::kReserved) {
    return refuse("409 Conflict", "a slot that is used");
  }
  connection.transfer = parts_.uploads->Write(file, connection, parts_.host.UnixSeconds());
  if (connection.transfer == nullptr) {
    return refuse("503 Service Unavailable", "too many files at a time");
  }
  if (request.expects) {
    // Small, and nothing is under way: what does not fit now is not needed.
    (void)parts_.streams.SendStream(connection.stream,
                                    AsBytes(std::string_view("HTTP/1.1 100 Continue\r\n\r\n")));
  }
  return head_size;
}

void Web::SendFile(Connection& connection, files::File& file, bool with_bytes) {
  if (with_bytes) {
    connection.transfer = parts_.uploads->files().Read(file, connection);
    if (connection.transfer == nullptr) {
      Answer(connection, "503 Service Unavailable", "Retry-After: 2\r\n", "");
      return;
    }
  }
  uint8_t bytes[1024];
  ByteWriter out(bytes);
  out.Text("HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: ");
  out.Text(Uploads::TypeOf(file));
  out.Text("\r\nContent-Disposition: ");
  out.Text(Uploads::IsShown(file) ? "inline" : "attachment");
  out.Text("; filename*=UTF-8''");
  out.Text(file.head.name.view());
  out.Text(
      "\r\nX-Content-Type-Options: nosniff\r\n"
      "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n"
      "Cross-Origin-Resource-Policy: cross-origin\r\nReferrer-Policy: no-referrer\r\n"
      "Cache-Control: private, max-age=3600\r\n");
  out.Text(connection.closes ? "Connection: close\r\n" : "");
  out.Text("Content-Length: ");
  out.Decimal(file.head.size);
  out.Text("\r\n\r\n");
  GH_ASSERT(out.ok());
  Chain answer;
  if (!chains_.Append(answer, out.written())) {
    parts_.streams.AbortStream(connection.stream);
    return;
  }
  SendAnswer(connection, answer);
}

// True: all of it is sent.
bool Web::PumpFile(Connection& connection) {
  files::SealedFiles& files = parts_.uploads->files();
  files::Transfer& transfer = *connection.transfer;
  while (transfer.left() > 0) {
    if (transfer.has_failed()) {
      parts_.streams.AbortStream(connection.stream);  // the length was promised
      return false;
    }
    const auto all = files.Peek(transfer);
    const auto piece = all.first(std::min(all.size(), kPieceMax));
    if (piece.empty() || !parts_.streams.SendStream(connection.stream, piece).ok()) {
      ArmIdle(connection, kWebRequestSeconds);
      return false;
    }
    files.Take(transfer, piece.size());
  }
  parts_.uploads->OnFetched();
  files.Close(transfer);
  connection.transfer = nullptr;
  return true;
}

// The disk has done what it was asked.
void Web::OnFile(Connection& connection) {
  files::Transfer& transfer = *connection.transfer;
  if (!transfer.is_writing()) {
    Pump(connection);
    return;
  }
  if (transfer.has_failed()) {
    LeaveFile(connection);
    Refuse(connection, "500 Internal Server Error", "a file that could not be kept");
  } else if (transfer.is_done()) {
    parts_.uploads->OnKept(transfer.file(), net::ToText(connection.remote).view());
    parts_.uploads->files().Close(transfer);
    connection.transfer = nullptr;
    Answer(connection, "201 Created", "", "");
  } else {
    parts_.streams.ResumeStream(connection.stream);
  }
}

// It goes no further with a file it was transferring.
void Web::LeaveFile(Connection& connection) {
  files::Transfer* transfer = std::exchange(connection.transfer, nullptr);
  if (transfer == nullptr) {
    return;
  }
  if (transfer->is_writing() && !transfer->is_done()) {
    parts_.uploads->OnBroken(transfer->file(), "it did not come whole");
  }
  parts_.uploads->files().Close(*transfer);
}

}  // namespace gh::xmpp
