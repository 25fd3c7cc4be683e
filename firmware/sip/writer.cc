#include "firmware/sip/writer.h"

namespace gh::sip {

namespace {

std::string_view PhraseOfEvents(uint16_t status) {
  switch (status) {
    case 406:
      return "Not Acceptable";
    case 412:
      return "Conditional Request Failed";
    case 415:
      return "Unsupported Media Type";
    case 489:
      return "Bad Event";
    default:
      return "Error";
  }
}

}  // namespace

std::string_view ReasonPhrase(uint16_t status) {
  switch (status) {
    case 100:
      return "Trying";
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 413:
      return "Request Entity Too Large";
    case 414:
      return "Request-URI Too Long";
    case 416:
      return "Unsupported URI Scheme";
    case 420:
      return "Bad Extension";
    case 422:
      return "Session Interval Too Small";
    case 423:
      return "Interval Too Brief";
    case 430:
      return "Flow Failed";
    case 439:
      return "First Hop Lacks Outbound Support";
    case 440:
      return "Max-Breadth Exceeded";
    case 480:
      return "Temporarily Unavailable";
    case 481:
      return "Call/Transaction Does Not Exist";
    case 482:
      return "Loop Detected";
    case 483:
      return "Too Many Hops";
    case 484:
      return "Address Incomplete";
    case 487:
      return "Request Terminated";
    case 488:
      return "Not Acceptable Here";
    case 500:
      return "Server Internal Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 505:
      return "Version Not Supported";
    case 513:
      return "Message Too Large";
    default:
      return PhraseOfEvents(status);
  }
}

void WriteHostPort(ByteWriter& out, const net::Endpoint& endpoint) {
  if (endpoint.address.is_v6()) {
    out.Char('[');
    endpoint.address.Format(out);
    out.Char(']');
  } else {
    endpoint.address.Format(out);
  }
  if (endpoint.port != 0) {
    out.Char(':');
    out.Decimal(endpoint.port);
  }
}

namespace {

void WriteOverload(ByteWriter& out, const OverloadReport& report) {
  out.Text(";oc=");
  out.Decimal(report.loss_percent);
  out.Text(";oc-algo=\"loss\";oc-validity=");
  out.Decimal(report.validity_ms);
  out.Text(";oc-seq=");
  out.Decimal(report.sequence_ms / 1000);
  out.Char('.');
  const uint64_t part = report.sequence_ms % 1000;
  out.Decimal(part / 100);
  out.Decimal(part / 10 % 10);
  out.Decimal(part % 10);
}

}  // namespace

void WriteRestOfVia(ByteWriter& out, const Message& message, const HeaderField& field) {
  const std::string_view value = message.Value(field);
  const Via& via = message.via();
  const auto used = static_cast<size_t>(via.text.data() + via.text.size() - value.data());
  const std::string_view rest = TrimLws(value.substr(used));
  if (rest.size() > 1) {
    out.Text("Via: ");
    out.Text(TrimLws(rest.substr(1)));
    out.Text("\r\n");
  }
}

void WriteSource(ByteWriter& out, const Via& via, const Flow& source) {
  if (via.has_rport) {
    out.Text(";rport=");
    out.Decimal(source.remote.port);
  }
  if (via.has_rport || ParseHostAddress(via.host) != source.remote.address) {
    out.Text(";received=");
    source.remote.address.Format(out);
  }
}

void WriteReceivedVias(ByteWriter& out, const Message& message, const Flow& source,
                       const OverloadReport* overload) {
  const HeaderField* field = message.First(HeaderId::kVia);
  const Via& via = message.via();
  if (field != nullptr && !via.text.empty()) {
    out.Text("Via: SIP/2.0/");
    out.Text(via.transport);
    out.Char(' ');
    out.Text(via.host);
    if (via.port != 0) {
      out.Char(':');
      out.Decimal(via.port);
    }
    Scanner scanner(via.params);
    Param param;
    while (NextParam(scanner, param) == Next::kItem) {
      if (EqualsNoCase(param.name, "received") || EqualsNoCase(param.name, "rport")) {
        continue;  // ours to say
      }
      if (overload != nullptr && EqualsNoCase(param.name.substr(0, 2), "oc") &&
          (param.name.size() == 2 || param.name[2] == '-')) {
        if (param.name.size() == 2) {
          WriteOverload(out, *overload);
        }
        continue;
      }
      out.Char(';');
      out.Text(param.name);
      if (param.has_value) {
        out.Text(param.quoted ? "=\"" : "=");
        out.Text(param.value);
        out.Text(param.quoted ? "\"" : "");
      }
    }
    WriteSource(out, via, source);
    out.Text("\r\n");
    WriteRestOfVia(out, message, *field);
    field = message.NextSame(*field);
  }
  for (; field != nullptr; field = message.NextSame(*field)) {
    out.Text(message.Line(*field));
  }
}

OverloadReport ReportOf(const Core& core) {
  // Told of again with each response; what is not told anew is over soon.
  constexpr uint32_t kValidityMilliseconds = 500;
  return {core.overload.loss_percent(), kValidityMilliseconds,
          static_cast<uint64_t>((core.now() - core.started).milliseconds()) + 1};
}

void WriteResponse(ByteWriter& out, const Message& request, const Flow& source,
                   const ResponseSpec& spec) {
  out.Text("SIP/2.0 ");
  out.Decimal(spec.status);
  out.Char(' ');
  out.Text(spec.reason.empty() ? ReasonPhrase(spec.status) : spec.reason);
  out.Text("\r\n");
  WriteReceivedVias(out, request, source, spec.overload);
  if (const HeaderField* from = request.First(HeaderId::kFrom)) {
    out.Text(request.Line(*from));
  }
  if (const HeaderField* to = request.First(HeaderId::kTo)) {
    const std::string_view line = request.Line(*to);
    const bool tagged = spec.to_tag == 0 || !request.to_tag().empty() || request.to().text.empty();
    out.Text(tagged ? line : line.substr(0, line.size() - 2));
    if (!tagged) {
      out.Text(";tag=");
      out.Hex(spec.to_tag, 16);
      out.Text("\r\n");
    }
  }
  if (const HeaderField* call_id = request.First(HeaderId::kCallId)) {
    out.Text(request.Line(*call_id));
  }
  if (const HeaderField* cseq = request.First(HeaderId::kCseq)) {
    out.Text(request.Line(*cseq));
  }
  if (const HeaderField* timestamp = request.First(HeaderId::kTimestamp);
      timestamp != nullptr && spec.status == 100) {
    out.Text(request.Line(*timestamp));
  }
  out.Text(spec.extra);
  out.Text("Content-Length: 0\r\n\r\n");
}

namespace {

void WriteFromSent(ByteWriter& out, const Message& sent, std::string_view to_line,
                   std::string_view method) {
  const std::string_view start = sent.start_line();
  const size_t space = start.find(' ');
  out.Text(method);
  out.Text(start.substr(space));
  out.Text("\r\n");
  // Our own Via is a field of its own and the first.
  if (const HeaderField* via = sent.First(HeaderId::kVia)) {
    out.Text(sent.Line(*via));
  }
  for (const HeaderField* f = sent.First(HeaderId::kRoute); f != nullptr; f = sent.NextSame(*f)) {
    out.Text(sent.Line(*f));
  }
  if (const HeaderField* from = sent.First(HeaderId::kFrom)) {
    out.Text(sent.Line(*from));
  }
  out.Text(to_line);
  if (const HeaderField* call_id = sent.First(HeaderId::kCallId)) {
    out.Text(sent.Line(*call_id));
  }
  Scanner cseq(sent.ValueOf(HeaderId::kCseq));
  out.Text("CSeq: ");
  out.Text(cseq.Run(kDigit));
  out.Char(' ');
  out.Text(method);
  out.Text("\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n");
}

}  // namespace

void WriteAck(ByteWriter& out, const Message& sent, const Message& response) {
  const HeaderField* to = response.First(HeaderId::kTo);
  WriteFromSent(out, sent, to == nullptr ? std::string_view() : response.Line(*to), "ACK");
}

void WriteCancel(ByteWriter& out, const Message& sent) {
  const HeaderField* to = sent.First(HeaderId::kTo);
  WriteFromSent(out, sent, to == nullptr ? std::string_view() : sent.Line(*to), "CANCEL");
}

net::Endpoint ResponseTarget(const Flow& source, const Via& via) {
  net::Endpoint target = source.remote;
  if (!source.is_reliable() && !via.has_rport) {
    target.port = via.port != 0 ? via.port : uint16_t{5060};
  }
  return target;
}

}  // namespace gh::sip
