// Each service made of what it needs, in the order of Appliance::Start. Services know one another
// by these parts alone; none of them knows the appliance.
#include "firmware/calls/policy_service.h"
#include "firmware/calls/sip_frame_gate.h"
#include "firmware/messaging/xmpp_contacts.h"
#include "firmware/messaging/xmpp_users.h"
#include "firmware/rooms.h"
#include "firmware/trust/acme_service.h"
#include "firmware/trust/ocsp_service.h"

namespace gh {

void Appliance::Rooms::BuildNetwork() {
  machine.arena.OpenAccount("net/stack", capacity.net.connection_count);
  stack = machine.arena.New<net::Stack>(
      net::StackParts{machine.arena, machine.frames, loop, random, net_events, machine.ports},
      capacity.net);
  services.SetNetwork(*stack, *this);
  machine.arena.OpenAccount("net/dns", capacity.net.dns_cache_count);
  resolver = machine.arena.New<net::DnsResolver>(
      net::DnsResolver::Parts{machine.arena, loop, random, stack->datagrams(), stack->streams()},
      capacity.net.dns_query_count, capacity.net.dns_cache_count);
  sntp = machine.arena.New<net::SntpClient>(
      net::SntpClient::Parts{loop, machine.clock, random, stack->datagrams(), *resolver, *this});
}

void Appliance::Rooms::BuildHsm() {
  machine.arena.OpenAccount("firmware/hsm");
  hsm = machine.arena.New<HsmService>(
      HsmParts{machine.arena, loop, random, log, alarms, *configuration, *store, *hasher,
               sqlite_store, store_key_away, machine.token, machine.tpm, options.token_module});
}

void Appliance::Rooms::BuildCertificates() {
  machine.arena.OpenAccount("firmware/keys");
  certificates = machine.arena.New<Certificates>(CertificateParts{
      machine.arena, machine.clock, random, *store, log, alarms, loop, deferred, *configuration});
  certificates->SetHsm(hsm->keys());  // before Load: certificates of its keys are found then
  certificates->Load();
}

void Appliance::Rooms::BuildTls() {
  machine.arena.OpenAccount("net/tls", capacity.net.tls_session_count);
  tls_services = machine.arena.New<TlsServices>(
      TlsServiceParts{machine.arena, loop, machine.clock, random, stack->streams(), log,
                      *configuration, certificates->identities(), certificates->hsm_identities(),
                      certificates->trust()},
      capacity.net);
  tls_services->Apply();  // nobody listens before there is a policy
  hsm->SetStreams(tls_services->streams());
}

void Appliance::Rooms::BuildSip() {
  machine.arena.OpenAccount("firmware/sip", capacity.registrations);
  credentials = machine.arena.New<UserCredentials>(*configuration);
  sip = machine.arena.New<sip::Engine>(
      machine.arena,
      sip::EnginePorts{stack->datagrams(), tls_services->streams(), *resolver, loop.timers(),
                       random, *credentials, sip_events},
      capacity.sip);
  stack->AddTap(
      *machine.arena.New<SipFrameGate>(*sip, *stack, machine.board != std::string_view("host")));
}

void Appliance::Rooms::BuildDialPlan() {
  machine.arena.OpenAccount("firmware/dialplan");
  dial_plan = machine.arena.New<DialPlanService>(
      DialPlanParts{*sip, *stack, machine.clock, log, *configuration});
  commit_checks.SetPatterns(*machine.arena.New<dialplan::PatternStore>(
      machine.arena, dialplan::kInstructionMax, dialplan::kPatternBytesMax));
}

void Appliance::Rooms::BuildCalls() {
  calls = machine.arena.New<CallService>(*sip, log, machine.clock);
  const auto rules = [](const config::Settings& settings) {
    const auto& from = settings.intrusion_protection_sip();
    return GuessGuard::Rules{from.mode == config::OnOff::kOn, static_cast<uint32_t>(from.failures)};
  };
  sip_guard = machine.arena.New<GuessGuard>(GuessGuard::Parts{
      *configuration, log, machine.clock, services.sip_blocker(), "SIP", "sip", rules});
  sip_events.SetGuard(*sip_guard);
}

void Appliance::Rooms::BuildTurn() {
  turn = machine.arena.New<TurnService>(
      TurnParts{machine.arena, loop, machine.clock, *stack, *tls_services, random, log, alarms,
                *configuration, media_core, capacity.rtp.flows()},
      capacity.turn, capacity.users);
}

void Appliance::Rooms::BuildRtp() {
  rtp = machine.arena.New<RtpService>(RtpParts{machine.arena, machine.clock, loop.timers(), random,
                                               *stack, log, *configuration, turn->plane(), *sip},
                                      capacity.rtp);
}

void Appliance::Rooms::BuildAcme() {
  machine.arena.OpenAccount("firmware/acme");
  acme = machine.arena.New<AcmeService>(
      AcmeParts{machine.arena, loop, machine.clock, random, *stack, *resolver, *tls_services,
                *certificates, *store, services, deferred, log, alarms, *configuration});
  machine.arena.OpenAccount("firmware/ocsp", keys::kSlotMax);
  ocsp = machine.arena.New<OcspService>(OcspParts{machine.arena, loop, machine.clock, *stack,
                                                  *resolver, *certificates, log, alarms,
                                                  *configuration});
}

void Appliance::Rooms::BuildPolicy() {
  machine.arena.OpenAccount("firmware/policy");
  policy = machine.arena.New<PolicyService>(PolicyParts{machine.arena, loop, machine.clock, random,
                                                        *stack, *resolver, certificates->trust(),
                                                        *sip, log, alarms, *configuration});
  sip->SetPolicy(*policy);
}

void Appliance::Rooms::BuildXmpp() {
  machine.arena.OpenAccount("firmware/xmpp", capacity.xmpp.sessions);
  xmpp = machine.arena.New<XmppService>(
      XmppParts{machine.arena, loop, machine.clock, *stack, *tls_services, random, *store, log,
                alarms, *configuration, machine.log},
      capacity.xmpp);
}

void Appliance::Rooms::BuildFederation() {
  machine.arena.OpenAccount("firmware/s2s", capacity.s2s.links);
  federation = machine.arena.New<FederationService>(
      FederationParts{machine.arena, loop, *stack, *resolver, *tls_services, random, *xmpp, log,
                      alarms, *configuration},
      capacity.s2s);
  certificates->SetFederation(*federation);
}

void Appliance::Rooms::BuildXmppLists() {
  const XmppListParts parts{machine.arena, machine.clock,     *xmpp,
                            *federation,   folders->backup(), log};
  machine.arena.New<XmppContacts>(parts)->AddTo(commands);
  machine.arena.New<XmppUsers>(parts)->AddTo(commands);
}

void Appliance::Rooms::OpenFirewall() {
  dial_plan->OpenFirewall(services.MaskOf(ServiceId::kSipTls));
  turn->OpenFirewall(services.MaskOf(ServiceId::kSipUdp));  // on the side calls come from
  xmpp->OpenFirewall(services.MaskOf(ServiceId::kSipTcp));
  federation->OpenFirewall(services.MaskOf(ServiceId::kSipTcp));
}

}  // namespace gh
