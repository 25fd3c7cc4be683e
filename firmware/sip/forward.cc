#include "firmware/sip/forward.h"

#include "firmware/sip/digest.h"
#include "firmware/sip/writer.h"

namespace gh::sip {
namespace {

void WriteRecordRoute(ByteWriter& out, const Core& core, const Listener& listener,
                      const DialogToken& token, std::string_view call_id) {
  out.Text("Record-Route: <sip:");
  WriteDialogToken(out, core, token, call_id);
  out.Char('@');
  WriteHostPort(out, listener.advertise);
  if (listener.transport == TransportKind::kTcp) {
    out.Text(";transport=tcp");
  } else if (listener.transport == TransportKind::kTls) {
    out.Text(";transport=tls");
  }
  out.Text(";lr>\r\n");
}

// The Request-URI that a strict router wants, and the Routes after it (16.6 6).
bool IsStrict(const RoutePlan& plan) {
  return plan.has_next && plan.next.uri.is_sip() && !plan.next.uri.has_param("lr");
}

void WriteRoutes(ByteWriter& out, const Message& request, const RoutePlan& plan,
                 const ForwardSpec& spec) {
  if (!spec.path.empty()) {
    out.Text("Route: ");
    out.Text(spec.path);
    out.Text("\r\n");
  }
  const bool strict = IsStrict(plan);
  const size_t total = [&] {
    size_t count = 0;
    AddressList all(request, HeaderId::kRoute);
    NameAddr one;
    while (all.NextItem(one) == Next::kItem) {
      ++count;
    }
    return count;
  }();
  const size_t first = plan.skip + (strict ? 1 : 0);
  const size_t end = total - (plan.drop_last ? 1 : 0);
  AddressList list(request, HeaderId::kRoute);
  NameAddr route;
  for (size_t i = 0; list.NextItem(route) == Next::kItem; ++i) {
    if (i >= first && i < end) {
      out.Text("Route: ");
      out.Text(route.text);
      out.Text("\r\n");
    }
  }
  if (strict) {
    out.Text("Route: <");
    out.Text(spec.uri);
    out.Text(">\r\n");
  }
}

// Credentials for our realm are ours alone; identity headers of strangers are not believed.
bool IsStripped(const Core& core, const Message& request, const HeaderField& field) {
  switch (field.id) {
    case HeaderId::kPAssertedIdentity:
      return true;
    case HeaderId::kProxyAuthorization:
    case HeaderId::kAuthorization: {
      const auto credentials = ParseDigestCredentials(request.Value(field));
      return credentials.ok() && credentials->realm == core.config.Realm();
    }
    default:
      return false;
  }
}

void WriteHead(ByteWriter& out, const Core& core, const Message& request, const RoutePlan& plan,
               const ForwardSpec& spec) {
  out.Text(request.method_text());
  out.Char(' ');
  out.Text(IsStrict(plan) ? plan.next.uri_text : spec.uri);
  out.Text(" SIP/2.0\r\n");
  const Listener& listener = core.config.listeners[spec.target.listener];
  out.Text("Via: SIP/2.0/");
  out.Text(TransportName(listener.transport));
  out.Char(' ');
  WriteHostPort(out, listener.advertise);
  if (listener.transport == TransportKind::kUdp) {
    out.Text(";rport");
  }
  out.Text(";branch=");
  out.Text(spec.branch);
  out.Text("\r\n");
  if (spec.record_route) {
    WriteRecordRoute(out, core, listener, spec.token, request.call_id());
    if (spec.source.listener != spec.target.listener) {  // RFC 5658: one for each side
      WriteRecordRoute(out, core, core.config.listeners[spec.source.listener], spec.token,
                       request.call_id());
    }
  }
}

}  // namespace

void WriteForwardedRequest(ByteWriter& out, const Core& core, const Message& request,
                           const RoutePlan& plan, const ForwardSpec& spec) {
  WriteHead(out, core, request, plan, spec);
  const bool routes_change =
      plan.skip != 0 || plan.drop_last || !spec.path.empty() || IsStrict(plan);
  if (routes_change) {
    WriteRoutes(out, request, plan, spec);
  }
  if (!request.Has(HeaderId::kMaxForwards)) {
    out.Text("Max-Forwards: 70\r\n");
  }
  if (!request.Has(HeaderId::kContentLength)) {
    out.Text("Content-Length: ");
    out.Decimal(request.body().size());
    out.Text("\r\n");
  }
  if (spec.breadth != 0) {
    out.Text("Max-Breadth: ");
    out.Decimal(spec.breadth);
    out.Text("\r\n");
  }
  // Untouched fields go in runs.
  size_t run = request.start_line().size() + 2;
  const auto flush = [&](const HeaderField& field) {
    out.Text(request.View(run, field.line - run));
    run = field.line + request.Line(field).size();
  };
  bool via_done = false;
  for (const HeaderField& field : request.fields()) {
    if (field.id == HeaderId::kVia) {
      flush(field);
      if (!via_done) {
        WriteReceivedVias(out, request, spec.source);
        via_done = true;
      }
    } else if (field.id == HeaderId::kMaxForwards) {
      flush(field);
      out.Text("Max-Forwards: ");
      out.Decimal(request.max_forwards().value_or(1) - 1);
      out.Text("\r\n");
    } else if ((field.id == HeaderId::kRoute && routes_change) ||
               (field.id == HeaderId::kMaxBreadth && spec.breadth != 0) ||
               IsStripped(core, request, field)) {
      flush(field);
    }
  }
  out.Text(request.View(run, request.header_end() + 2 - run));
  out.Bytes(request.body());
}

void WriteForwardedResponse(ByteWriter& out, const Message& response) {
  const HeaderField* field = response.First(HeaderId::kVia);
  GH_ASSERT(field != nullptr);
  out.Text(response.View(0, field->line));
  const std::string_view value = response.Value(*field);
  const Via& via = response.via();
  const auto used = static_cast<size_t>(via.text.data() + via.text.size() - value.data());
  const std::string_view rest = TrimLws(value.substr(used));
  if (rest.size() > 1) {
    out.Text("Via: ");
    out.Text(TrimLws(rest.substr(1)));
    out.Text("\r\n");
  }
  const size_t after = field->line + response.Line(*field).size();
  const bool has_length = response.Has(HeaderId::kContentLength);
  if (!has_length) {
    out.Text("Content-Length: ");
    out.Decimal(response.body().size());
    out.Text("\r\n");
  }
  out.Text(response.View(after, response.consumed() - after));
}

}  // namespace gh::sip
