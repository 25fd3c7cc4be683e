#include "firmware/sip/forward.h"

#include <algorithm>

#include "firmware/sip/digest.h"
#include "firmware/sip/writer.h"

namespace gh::sip {

std::string_view TransportParam(TransportKind transport) {
  switch (transport) {
    case TransportKind::kUdp:
      return "";
    case TransportKind::kTcp:
      return ";transport=tcp";
    case TransportKind::kTls:
      return ";transport=tls";
    default:
      return ";transport=ws";  // RFC 7118 5.2: of WSS too
  }
}

namespace {

void WriteRecordRoute(ByteWriter& out, const Core& core, const Listener& listener,
                      const DialogToken& token, std::string_view call_id) {
  out.Text("Record-Route: <sip:");
  WriteDialogToken(out, core, token, call_id);
  out.Char('@');
  WriteHostPort(out, listener.advertise);
  out.Text(TransportParam(listener.transport));
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

bool IsOfSession(HeaderId id) { return id == HeaderId::kSessionExpires || id == HeaderId::kMinSe; }

// Credentials for our realm are ours alone; identity headers of strangers are not believed.
bool IsStripped(const Core& core, const Message& request, const HeaderField& field,
                const ForwardSpec& spec) {
  switch (field.id) {
    case HeaderId::kPAssertedIdentity:
      return !spec.keeps_identity;
    case HeaderId::kPPreferredIdentity:  // for the proxy that asserts (RFC 3325 9.2)
      return !spec.identity.empty();
    case HeaderId::kProxyRequire:
      return spec.strips_proxy_require;
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
  out.Text(spec.asks_for_alias ? ";alias" : "");
  out.Text(spec.asks_for_load ? ";oc;oc-algo=\"loss\"\r\n" : "\r\n");
  if (spec.path_to != nullptr) {
    out.Text("Path: <sip:");
    WritePathToken(out, core, *spec.path_to);
    out.Char('@');
    WriteHostPort(out, listener.advertise);
    out.Text(TransportParam(listener.transport));
    out.Text(";lr;ob>\r\n");
  }
  if (spec.record_route) {
    WriteRecordRoute(out, core, listener, spec.token, request.call_id());
    if (spec.source.listener != spec.target.listener) {  // RFC 5658: one for each side
      WriteRecordRoute(out, core, core.config.listeners[spec.source.listener], spec.token,
                       request.call_id());
    }
  }
}

// No longer than it was.
void WriteAllowWithoutUpdate(ByteWriter& out, std::string_view value) {
  out.Text("Allow:");
  Scanner scanner(value);
  for (bool is_first = true; !scanner.at_end();) {
    const std::string_view method = scanner.Run(kToken);
    if (method.empty()) {
      break;
    }
    if (method != "UPDATE") {
      out.Text(is_first ? "" : ",");
      out.Text(method);
      is_first = false;
    }
    scanner.SkipLws();
    if (!scanner.Take(',')) {
      break;
    }
  }
  out.Text("\r\n");
}

void WriteLength(ByteWriter& out, size_t size) {
  out.Text("Content-Length: ");
  out.Decimal(size);
  out.Text("\r\n");
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
    out.Text("Max-Forwards: ");
    out.Decimal(std::min(spec.hop_count_max, kMaxForwardsDefault));
    out.Text("\r\n");
  }
  const std::string_view body = spec.body != nullptr ? *spec.body : AsText(request.body());
  const bool length_changes = !request.Has(HeaderId::kContentLength) || spec.body != nullptr;
  if (length_changes) {
    WriteLength(out, body.size());
  }
  if (spec.session != nullptr) {
    WriteSessionLines(out, *spec.session);
  }
  if (!spec.identity.empty()) {
    out.Text("P-Asserted-Identity: <");
    out.Text(spec.identity);
    out.Text(">\r\n");
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
      out.Decimal(std::min(request.max_forwards().value_or(1) - 1, spec.hop_count_max));
      out.Text("\r\n");
    } else if (field.id == HeaderId::kAllow && spec.hides_update) {
      flush(field);
      WriteAllowWithoutUpdate(out, request.Value(field));
    } else if ((field.id == HeaderId::kRoute && routes_change) ||
               (field.id == HeaderId::kMaxBreadth && spec.breadth != 0) ||
               (field.id == HeaderId::kContentLength && length_changes) ||
               (spec.session != nullptr && IsOfSession(field.id)) ||
               IsStripped(core, request, field, spec)) {
      flush(field);
    }
  }
  out.Text(request.View(run, request.header_end() + 2 - run));
  out.Text(body);
}

bool WantsPrivacy(const Message& message) {
  bool wants = false;
  ForEachPrivacy(message,
                 [&wants](std::string_view value) { wants = wants || EqualsNoCase(value, "id"); });
  return wants;
}

namespace {

// Field by field: what is edited may stand anywhere.
void WriteEditedResponse(ByteWriter& out, const Message& response, const std::string_view* body,
                         std::string_view extra, const ResponseEdit& edit) {
  const HeaderField* via = response.First(HeaderId::kVia);
  const std::string_view text = body != nullptr ? *body : AsText(response.body());
  size_t run = 0;
  for (const HeaderField& field : response.fields()) {
    const bool is_identity = field.id == HeaderId::kPAssertedIdentity && !edit.keeps_identity;
    const bool is_allow = field.id == HeaderId::kAllow && edit.hides_update;
    const bool is_length = field.id == HeaderId::kContentLength && body != nullptr;
    if (&field != via && !is_identity && !is_allow && !is_length) {
      continue;
    }
    out.Text(response.View(run, field.line - run));
    run = field.line + response.Line(field).size();
    if (is_allow) {
      WriteAllowWithoutUpdate(out, response.Value(field));
    } else if (&field == via) {
      WriteRestOfVia(out, response, field);
      out.Text(extra);
      if (!response.Has(HeaderId::kContentLength) || body != nullptr) {
        WriteLength(out, text.size());
      }
    }
  }
  out.Text(response.View(run, response.header_end() + 2 - run));
  out.Text(text);
}

}  // namespace

void WriteForwardedResponse(ByteWriter& out, const Message& response, const std::string_view* body,
                            std::string_view extra, const ResponseEdit& edit) {
  if ((!edit.keeps_identity && response.Has(HeaderId::kPAssertedIdentity)) ||
      (edit.hides_update && response.Has(HeaderId::kAllow))) {
    WriteEditedResponse(out, response, body, extra, edit);
    return;
  }
  const HeaderField* field = response.First(HeaderId::kVia);
  GH_ASSERT(field != nullptr);
  const HeaderField* length = response.First(HeaderId::kContentLength);
  if (body != nullptr && length != nullptr && length->line < field->line) {
    out.Text(response.View(0, length->line));
    const size_t behind = length->line + response.Line(*length).size();
    out.Text(response.View(behind, field->line - behind));
  } else {
    out.Text(response.View(0, field->line));
  }
  WriteRestOfVia(out, response, *field);
  out.Text(extra);
  const size_t after = field->line + response.Line(*field).size();
  if (!response.Has(HeaderId::kContentLength) || body != nullptr) {
    WriteLength(out, body != nullptr ? body->size() : response.body().size());
  }
  if (body == nullptr) {
    out.Text(response.View(after, response.consumed() - after));
    return;
  }
  size_t run = after;
  if (length != nullptr && length->line >= after) {
    out.Text(response.View(run, length->line - run));
    run = length->line + response.Line(*length).size();
  }
  out.Text(response.View(run, response.header_end() + 2 - run));
  out.Text(*body);
}

}  // namespace gh::sip
