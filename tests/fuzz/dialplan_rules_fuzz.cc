// A plan of hostile rules and hostile questions. Each line of the input is one of: a transform, a
// search rule, a policy rule, a membership, a question; its first two bytes choose and set flags.
// Whatever was taken, a search stays within its limits, a step has an alias, rules for
// authenticated callers serve no others, and the same question gets the same answer.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/dialplan/dial_plan.h"

namespace {

using namespace gh::dialplan;

PatternSetting SettingOf(std::string_view text, uint8_t flags) {
  PatternSetting out;
  const size_t split = text.find('\t');
  out.text.Assign(text.substr(0, split));
  out.replacement.Assign(split == std::string_view::npos ? "" : text.substr(split + 1));
  out.type = static_cast<PatternType>(flags & 3);
  out.behavior = static_cast<PatternBehavior>((flags >> 2) % 3);
  return out;
}

void AddRule(DialPlan& plan, std::string_view text, uint8_t flags, uint16_t number) {
  SearchRule rule;
  rule.pattern = SettingOf(text, flags);
  rule.mode = static_cast<RuleMode>((flags >> 4) % 3);
  rule.number = number;
  rule.priority = static_cast<uint16_t>(1 + number % 3);
  rule.needs_authentication = number % 2 == 0;
  rule.stops = (flags & 0x40) != 0;
  rule.source = static_cast<SourceMode>(number % 4);
  rule.source_name.Assign("East");
  rule.target_name.Assign((flags & 0x80) != 0 ? "LocalZone" : "East");
  plan.Add(rule).ignore("hostile");
}

void Ask(DialPlan& plan, std::string_view alias, uint8_t flags) {
  static Search first;
  static Search second;
  uint8_t text[500];
  gh::ByteWriter out(text);
  const Query query{alias, alias.substr(alias.size() / 2), static_cast<ZoneId>(flags % 3),
                    (flags & 4) != 0, uint32_t{flags} * 40};
  plan.Find(query, first, &out);
  plan.Find(query, second, nullptr);
  if (first.count > kStepMax || first.count != second.count ||
      first.is_refused != second.is_refused || (first.is_refused && first.count != 0)) {
    std::abort();
  }
  for (uint32_t i = 0; i < first.count; ++i) {
    const Step& step = first.steps[i];
    if (step.alias.empty() || step.alias != second.steps[i].alias ||
        (step.rule % 2 == 0 && !query.is_authenticated)) {
      std::abort();
    }
  }
  const uint32_t subzone = plan.SubzoneOf({}, alias);
  if (plan.SubzoneName(subzone).empty()) {
    std::abort();
  }
  (void)plan.MayRegister(alias);
}

void Take(DialPlan& plan, std::string_view line, uint16_t number) {
  if (line.size() < 2) {
    return;
  }
  const auto flags = static_cast<uint8_t>(line[1]);
  const std::string_view text = line.substr(2);
  switch (line[0]) {
    case 'T':
      plan.Add(Transform{SettingOf(text, flags), number}).ignore("hostile");
      break;
    case 'R':
      AddRule(plan, text, flags, number);
      break;
    case 'P': {
      PolicyRule rule;
      rule.number = number;
      rule.allows = (flags & 1) != 0;
      const PatternSetting both = SettingOf(text, 3);
      rule.source = both.text;
      rule.destination = both.replacement;
      rule.when = {flags, static_cast<uint16_t>(flags * 5), static_cast<uint16_t>(number * 90)};
      plan.SetPolicyEnabled(true);
      plan.Add(rule).ignore("hostile");
      break;
    }
    case 'M': {
      Membership member;
      member.subzone.Assign("Lab");
      member.pattern = SettingOf(text, flags);
      plan.Add(member).ignore("hostile");
      plan.AddRegistration(member.pattern).ignore("hostile");
      plan.SetRegistrationPolicy(static_cast<RegistrationPolicy>(flags % 3));
      break;
    }
    default:
      plan.Commit();
      Ask(plan, text, flags);
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static uint8_t memory[2 << 20];
  static gh::Arena arena({memory, sizeof(memory)});
  static DialPlan plan(arena, 32);
  plan.Begin();
  Zone zone;
  zone.name.Assign("East");
  zone.type = ZoneType::kNeighbour;
  Subzone subzone;
  subzone.name.Assign("Lab");
  if (!plan.Add(kFirstZone, zone).ok() || !plan.Add(subzone).ok()) {
    std::abort();
  }
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (uint16_t number = 1; !text.empty() && number < 40; ++number) {
    const size_t end = text.find('\n');
    Take(plan, text.substr(0, end), number);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return 0;
}
