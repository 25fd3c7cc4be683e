// The bandwidth plan in the appliance: limits of subzones, links and pipes from the settings into
// the engine's; what calls take of them as status. A link that names what is not there is told by
// an event and left out.
#include "firmware/admin/status_text.h"
#include "firmware/calls/dial_plan_service.h"
#include "hal/rt/ascii.h"

namespace gh {
namespace {

using dialplan::BandwidthLimits;

uint32_t LimitOf(config::BandwidthMode mode, int32_t kbps) {
  return mode == config::BandwidthMode::kUnlimited ? dialplan::kUnlimited
         : mode == config::BandwidthMode::kLimited ? static_cast<uint32_t>(kbps)
                                                   : 0u;
}

// Of a subzone or zone, or the default ones.
template <typename Group>
BandwidthLimits LimitsOf(const Group& from) {
  return {.total_kbps = LimitOf(from.total_mode, from.total_kbps),
          .per_call_inter_kbps = LimitOf(from.inter_mode, from.inter_kbps),
          .per_call_intra_kbps = LimitOf(from.intra_mode, from.intra_kbps)};
}

void TellLimit(ByteWriter& out, std::string_view name, uint32_t kbps) {
  if (kbps == dialplan::kUnlimited) {
    Tell(out, name, "unlimited");
  } else {
    Tell(out, name, uint64_t{kbps});
  }
}

}  // namespace

std::optional<uint16_t> DialPlanService::NodeOf(std::string_view name) const {
  const dialplan::DialPlan& plan = parts_.engine.plan();
  if (const auto subzone = plan.FindSubzone(name)) {
    return sip::Engine::NodeOfSubzone(*subzone);
  }
  const dialplan::ZoneId zone = plan.FindZone(name);
  if (zone == dialplan::kNoZone || zone == dialplan::kLocalZone) {
    return std::nullopt;
  }
  return sip::Engine::NodeOfZone(zone);
}

void DialPlanService::ApplyBandwidth() {
  const config::Settings& settings = parts_.configuration.active();
  dialplan::Bandwidth& bandwidth = parts_.engine.bandwidth();
  const auto& general = settings.bandwidth();
  bandwidth.Begin({.default_kbps = static_cast<uint32_t>(general.default_kbps),
                   .downspeed_per_call = general.downspeed_per_call == config::OnOff::kOn,
                   .downspeed_total = general.downspeed_total == config::OnOff::kOn});
  bandwidth.SetNode(sip::Engine::NodeOfSubzone(0),
                    LimitsOf(settings.zones_local_zone_default_sub_zone()));
  bandwidth.SetNode(sip::Engine::NodeOfZone(dialplan::kDefaultZone),
                    LimitsOf(settings.zones_default_zone()));
  const auto zones = settings.zones_zone();
  for (uint32_t i = 0; i < zones.size(); ++i) {
    const auto zone = static_cast<dialplan::ZoneId>(i + dialplan::kFirstZone);
    if (parts_.engine.plan().zone(zone).type != dialplan::ZoneType::kNone) {
      bandwidth.SetNode(sip::Engine::NodeOfZone(zone), LimitsOf(zones[i]));
    }
  }
  for (const auto& subzone : settings.zones_local_zone_sub_zones_sub_zone()) {
    const auto number = parts_.engine.plan().FindSubzone(subzone.name.view());
    if (!subzone.name.empty() && number && *number != 0) {
      bandwidth.SetNode(sip::Engine::NodeOfSubzone(*number), LimitsOf(subzone));
    }
  }
  const auto pipes = settings.bandwidth_pipe();
  std::array<uint8_t, dialplan::kPipeMax> numbers;
  numbers.fill(UINT8_MAX);
  for (uint32_t i = 0; i < pipes.size(); ++i) {
    if (pipes[i].name.empty()) {
      continue;
    }
    dialplan::Pipe pipe;
    pipe.name.Assign(pipes[i].name.view());
    pipe.total_kbps = LimitOf(pipes[i].total_mode, pipes[i].total_kbps);
    pipe.per_call_kbps = LimitOf(pipes[i].per_call_mode, pipes[i].per_call_kbps);
    const auto added = bandwidth.AddPipe(pipe);
    numbers[i] = added.ok() ? *added : uint8_t{UINT8_MAX};
  }
  const auto pipe_of = [&](std::string_view name, uint8_t& out) {
    for (uint32_t i = 0; i < pipes.size() && !name.empty(); ++i) {
      if (numbers[i] != UINT8_MAX && EqualsIgnoringCase(pipes[i].name.view(), name)) {
        out = numbers[i];
        return true;
      }
    }
    return name.empty();
  };
  const auto links = settings.bandwidth_link();
  for (uint32_t i = 0; i < links.size(); ++i) {
    if (links[i].name.empty()) {
      continue;
    }
    const auto from = NodeOf(links[i].node1.view());
    const auto to = NodeOf(links[i].node2.view());
    dialplan::Link link;
    link.name.Assign(links[i].name.view());
    const bool pipes_good = pipe_of(links[i].pipe1.view(), link.pipes[0]) &&
                            pipe_of(links[i].pipe2.view(), link.pipes[1]);
    if (!from || !to || !pipes_good) {
      Take("Bandwidth Link", i,
           Error(ErrorCode::kNotFound, "it names a subzone, zone or pipe that is not there"));
      continue;
    }
    link.from = *from;
    link.to = *to;
    Take("Bandwidth Link", i, bandwidth.AddLink(link));
  }
}

// --- Status --------------------------------------------------------------------------------------

namespace {

// Of a node of the bandwidth plan.
std::string_view NameOfNode(const dialplan::DialPlan& plan, uint16_t node) {
  if (node <= dialplan::kSubzoneMax) {
    return node <= plan.subzone_count() ? plan.SubzoneName(node) : std::string_view();
  }
  const auto zone = static_cast<dialplan::ZoneId>(node - dialplan::kSubzoneMax);
  const bool is_there =
      zone < dialplan::kZoneIdMax && plan.zone(zone).type != dialplan::ZoneType::kNone;
  return is_there ? plan.ZoneName(zone) : std::string_view();
}

}  // namespace

bool DialPlanService::NextLink(uint64_t& cursor, ByteWriter& out) {
  const dialplan::Bandwidth& bandwidth = parts_.engine.bandwidth();
  if (cursor >= bandwidth.link_count()) {
    return false;
  }
  const dialplan::Link& link = bandwidth.link(static_cast<uint32_t>(cursor));
  out.Text("Links Link ");
  out.Decimal(++cursor);
  out.Text(": ");
  out.Text(link.name.view());
  Tell(out, "node1", NameOfNode(parts_.engine.plan(), link.from));
  Tell(out, "node2", NameOfNode(parts_.engine.plan(), link.to));
  for (const uint8_t pipe : link.pipes) {
    if (pipe < bandwidth.pipe_count()) {
      Tell(out, "pipe", bandwidth.pipe(pipe).name);
    }
  }
  return true;
}

bool DialPlanService::NextPipe(uint64_t& cursor, ByteWriter& out) {
  const dialplan::Bandwidth& bandwidth = parts_.engine.bandwidth();
  if (cursor >= bandwidth.pipe_count()) {
    return false;
  }
  const auto pipe = bandwidth.pipe(static_cast<uint32_t>(cursor));
  out.Text("Pipes Pipe ");
  out.Decimal(++cursor);
  out.Text(": ");
  out.Text(pipe.name);
  Tell(out, "calls", pipe.calls);
  Tell(out, "used_kbps", pipe.used_kbps);
  TellLimit(out, "total_kbps", pipe.total_kbps);
  return true;
}

// First what became of wishes, then each node that carries a call.
bool DialPlanService::NextNode(uint64_t& cursor, ByteWriter& out) {
  const dialplan::Bandwidth& bandwidth = parts_.engine.bandwidth();
  if (cursor == 0) {
    ++cursor;
    out.Text("Bandwidth Calls:");
    Tell(out, "refused", bandwidth.refused_count());
    Tell(out, "slowed_down", bandwidth.downspeed_count());
    return true;
  }
  for (; cursor <= dialplan::kNodeMax; ++cursor) {
    const auto node = static_cast<uint16_t>(cursor - 1);
    if (bandwidth.call_count(node) == 0) {
      continue;
    }
    ++cursor;
    out.Text("Bandwidth Node ");
    out.Text(NameOfNode(parts_.engine.plan(), node));
    out.Char(':');
    Tell(out, "calls", bandwidth.call_count(node));
    Tell(out, "used_kbps", bandwidth.used_kbps(node));
    return true;
  }
  return false;
}

}  // namespace gh
