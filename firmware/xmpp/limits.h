// The limits of the XMPP room. What a machine's size decides is in Capacity (engine.h).
#pragma once

#include <cstdint>

namespace gh::xmpp {

// One stanza of an authenticated client, and of anybody before (RFC 6120 section 13.12 asks for
// 10,000 bytes at least).
inline constexpr uint32_t kStanzaMin = 10'000;
inline constexpr uint32_t kStanzaMax = 64 * 1024;
// One of a client that comes by HTTP, with what goes around it: it waits in the stream until it is
// whole.
inline constexpr uint32_t kWebMessageMax = 44 * 1024;
inline constexpr uint32_t kStanzaElementMax = 1000;
inline constexpr uint32_t kStanzaNodeMax = 1024;  // elements, and pieces of text between
inline constexpr uint32_t kStanzaAttributeMax = 1024;
inline constexpr uint32_t kElementAttributeMax = 32;
inline constexpr uint32_t kStanzaDepthMax = 32;
// A namespace is copied once for each stanza that uses it; this many are looked for.
inline constexpr uint32_t kNamespacesKept = 8;

// Clients by HTTP: a request's head, how long a connection may take for one and be idle between
// two, how long a BOSH client may wait for an answer and be away (XEP-0124).
inline constexpr uint32_t kWebHeadMax = 4096;
inline constexpr int64_t kWebRequestSeconds = 20;
inline constexpr int64_t kWebIdleSeconds = 75;
inline constexpr uint32_t kBoshWaitMax = 60;
inline constexpr int64_t kBoshInactivitySeconds = 60;
inline constexpr uint32_t kBoshRequests = 2;
inline constexpr uint32_t kBoshOutMax = 256 * 1024;

// What a peer may spend before it has proved who it is: everything it sends, together.
inline constexpr uint32_t kUnprovenBytes = 8 * 1024;
inline constexpr uint32_t kUnprovenElements = 32;  // begun, headers of streams too
inline constexpr uint32_t kUnprovenNodes = 3 * kUnprovenElements;
inline constexpr uint32_t kUnprovenDepth = 8;
inline constexpr uint32_t kUnprovenAttributes = 16;
inline constexpr int64_t kUnprovenSeconds = 30;
// Of all places, those that peers may have who have not proved who they are. Where they are short:
// how many holders are looked at for the one that gives way, and how long one keeps what it holds
// before somebody who would have as much.
inline constexpr uint32_t kStrangersPercent = 50;
inline constexpr uint32_t kCrowdLooksMax = 512;
inline constexpr int64_t kCrowdSeconds = 5;
inline constexpr uint32_t kLoginFailureMax = 3;    // then the stream ends
inline constexpr uint32_t kProvedUserMax = 4;      // that one certificate names
inline constexpr uint32_t kTokensPerUserMax = 15;  // clients that log in by token; a block's worth

// A stanza that is begun is finished within this time: its parser is wanted by others.
inline constexpr int64_t kStanzaSeconds = 20;

// Bytes given to the parser at a time, its heap, and how many stanzas it reads before it forgets
// the names it has seen.
inline constexpr uint32_t kParserSlice = 4096;
inline constexpr uint64_t kParserHeapMax = 160 * 1024;
inline constexpr uint64_t kParserHeapUsual = 24 * 1024;
inline constexpr uint32_t kParserStanzasMax = 64;

// Push services of one user (XEP-0357), what is kept of each, and what of a message they are told.
inline constexpr uint32_t kPushMax = 8;
inline constexpr uint32_t kPushBytesMax = 3000;
inline constexpr uint32_t kPushBodyMax = 200;

// Users found by one search (XEP-0055), and how long after another one may begin.
inline constexpr uint32_t kSearchFoundMax = 50;
inline constexpr int64_t kSearchMilliseconds = 100;

// Slots for files (XEP-0363) that are not used yet, and how long they may be.
inline constexpr uint32_t kUploadSlotsMax = 128;
inline constexpr uint32_t kUploadSlotsPerUser = 8;
inline constexpr int64_t kUploadSlotSeconds = 600;

// Addresses (RFC 7622 allows 1023 bytes to each part).
inline constexpr uint32_t kLocalMax = 128;
inline constexpr uint32_t kDomainMax = 191;
inline constexpr uint32_t kResourceMax = 127;
inline constexpr uint32_t kBareMax = kLocalMax + 1 + kDomainMax;
inline constexpr uint32_t kAddressMax = kBareMax + 1 + kResourceMax;
inline constexpr uint32_t kCodesMax = 512;  // code points of a part, decomposed
inline constexpr uint32_t kLabelMax = 63;   // of a domain, as DNS has it
inline constexpr uint32_t kDnsDomainMax = 253;
inline constexpr uint32_t kLocalDomainMax = 8;
inline constexpr uint32_t kEmailDomainMax = 32;  // of users' e-mail addresses

// What may wait for one session: not yet taken by the network, and not yet acknowledged by the
// client (XEP-0198). One stanza more than the bound ends the session; its messages are kept.
// Whoever enters a full room is sent the presence of all who are in it.
inline constexpr uint32_t kUnsentMax = 640 * 1024;
inline constexpr uint32_t kUnacknowledgedMax = 1536;
inline constexpr uint32_t kUnacknowledgedBytesMax = 640 * 1024;
inline constexpr uint32_t kInactiveHeldMax = 16 * 1024;  // presence held back (XEP-0352)
inline constexpr uint32_t kPresenceMax = 4 * 1024;       // a presence stanza that is remembered
inline constexpr uint32_t kDirectedMax = 32;             // addresses sent presence directly

// Where memory is short: a client that has not taken so much in so many seconds goes.
inline constexpr uint32_t kReadsBytes = 8 * 1024;
inline constexpr int64_t kStalledSeconds = 5;
inline constexpr int64_t kPressureTickMs = 100;
// Stanzas of one client: as many at once as in so many seconds; what one takes of its allowance.
inline constexpr int64_t kRateBurstSeconds = 10;
inline constexpr int64_t kStanzaAllowance = 1'000'000;

inline constexpr uint32_t kContactNameMax = 256;
inline constexpr uint32_t kContactGroupsMax = 512;  // all together
inline constexpr uint32_t kContactDetailsMax = kContactNameMax + 2 * kContactGroupsMax + 4;
inline constexpr uint32_t kBlockedMax = 200;
// Privacy lists (XEP-0016) of one user, their items, their bytes as they are kept (a row each).
inline constexpr uint32_t kPrivacyListsMax = 16;
inline constexpr uint32_t kPrivacyItemsMax = 128;
inline constexpr uint32_t kPrivacyNameMax = 127;
inline constexpr uint32_t kPrivacyListBytesMax = 3600;
inline constexpr uint32_t kPrivacyBytesMax = 16 * 1024;  // of all of them
// A stanza as we write it; name spaces may make it longer than it came.
inline constexpr uint32_t kOutputMax = 3 * kStanzaMax;

// A roster as it is sent, when an item with name and groups is added to it.
inline constexpr uint32_t kRosterBytesMax = kOutputMax / 4 * 3;

// Messages that wait (XEP-0013): so many are told of or shown at once, and so many bytes.
inline constexpr uint32_t kOfflineListedMax = 256;
inline constexpr uint32_t kOfflineBytesMax = 256 * 1024;

// Stored rows: parts of a message, and one contact.
inline constexpr uint32_t kRowMax = 3800;
inline constexpr uint32_t kMessagePartsMax = kOutputMax / kRowMax + 1;

// Rooms (XEP-0045).
inline constexpr uint32_t kRoomNameMax = 191;  // room@host
inline constexpr uint32_t kRoomOccupantMax = 1000;
inline constexpr uint32_t kRoomHostMax = 16;  // one a domain, and the aliases
inline constexpr uint32_t kRoomAdministratorMax = 16;
inline constexpr uint32_t kRoomAffiliateMax = 2000;  // of one room
inline constexpr uint32_t kRoomPresenceMax = 1536;   // what an occupant's presence says
inline constexpr uint32_t kRoomTitleMax = 256;
inline constexpr uint32_t kRoomDescriptionMax = 1024;
inline constexpr uint32_t kRoomPasswordMax = 128;
inline constexpr uint32_t kRoomSubjectMax = 1024;
inline constexpr uint32_t kRoomHistoryMax = 100;
inline constexpr uint32_t kRoomHistoryBytesMax = 48 * 1024;
inline constexpr uint32_t kRoomReasonMax = 512;
inline constexpr uint32_t kRoomCardMax = kStanzaMax;  // its vCard, as it is written
inline constexpr uint32_t kRoomsOfSessionMax = 64;
inline constexpr uint32_t kRoomChangesMax = 128;  // items of one administrator's query
inline constexpr uint32_t kRoomsListedMax = 200;  // on one page of the room list
inline constexpr int64_t kRoomLockSeconds = 600;  // a room waits for its configuration

// Archives (XEP-0313).
inline constexpr uint32_t kArchivePageMax = 100;
inline constexpr uint32_t kArchivePageBytesMax = 128 * 1024;
inline constexpr uint32_t kArchiveScanMax = 4000;  // entries looked at for one page
inline constexpr uint32_t kArchiveRulesMax = 64;   // addresses in a user's preferences
inline constexpr uint32_t kArchiveRulesBytesMax = 3200;

// Who may fill the store how far, in percent of its room: archives have half of it, and give way
// from the first mark on; from the second on no message is put by; rosters, rooms and items stop at
// the third. The rest is the configuration's.
inline constexpr uint32_t kArchiveSharePercent = 50;
inline constexpr uint32_t kArchiveStorePercent = 70;
inline constexpr uint32_t kMessageStorePercent = 85;
inline constexpr uint32_t kRowStorePercent = 92;
inline constexpr uint32_t kShareAlarmPercent = 65;  // before the first mark
inline constexpr uint32_t kArchivePruneMax = 256;   // entries that go for one
inline constexpr uint32_t kArchiveLooksMax = 16;    // archives asked for their age for one to go

// What a user publishes or keeps (XEP-0163, 0049, 0054).
inline constexpr uint32_t kNodesPerUserMax = 64;
inline constexpr uint32_t kNodeNameMax = 256;
inline constexpr uint32_t kItemsPerNodeMax = 256;
inline constexpr uint32_t kItemNameMax = 256;
// Who has subscribed to a node or has an affiliation with it: of one node, of all nodes of one
// user; what one user, of whichever server, has subscribed to. Those of other servers have this
// share of all places.
inline constexpr uint32_t kEntitiesPerNodeMax = 128;
inline constexpr uint32_t kEntitiesPerUserMax = 512;
inline constexpr uint32_t kSubscriptionsPerUserMax = 128;
inline constexpr uint32_t kEntitiesAwayPercent = 50;
// What is known of clients' wishes to be notified (XEP-0115).
inline constexpr uint32_t kCapsMax = 1024;
inline constexpr uint32_t kCapsNotifyBytesMax = 2048;
inline constexpr uint32_t kCapsFeaturesMax = 192;
// Of users of other servers: hashes, clients of one of them, and of all who see one user of ours.
inline constexpr uint32_t kCapsAwayMax = 512;
inline constexpr uint32_t kClientsAwayPerContact = 8;
inline constexpr uint32_t kClientsAwayPerUser = 256;

// When users were last here (XEP-0012) is kept so long after they came or went, so many accounts
// and of them so many rows at a time, which come a second apart. A time before this one is of a
// clock that was not set.
inline constexpr int64_t kSeenSeconds = 30;
inline constexpr uint32_t kSeenWalkMax = 4096;
inline constexpr uint32_t kSeenRowsMax = 256;
inline constexpr int64_t kTimeIsSet = 1'577'836'800;  // 2020

inline constexpr uint32_t kScramIterations = 10'000;
inline constexpr uint32_t kScramIterationsMax = 100'000;
inline constexpr uint32_t kScramIterationsMin = 4096;  // of a verifier that is brought (RFC 7677)
// Numbers of iterations that are told apart for those that nobody has.
inline constexpr uint32_t kIterationSharesMax = 16;
inline constexpr uint32_t kPasswordMax = 128;

static_assert(kUnprovenBytes < kStanzaMin && kStanzaMin <= kStanzaMax);
static_assert(kUnacknowledgedBytesMax >= kOutputMax);
static_assert(kUnsentMax >= kOutputMax);
static_assert(kPrivacyListBytesMax <= kRowMax);
static_assert(kOfflineBytesMax >= kOutputMax && kOfflineBytesMax <= kUnsentMax &&
              kOfflineListedMax <= kUnacknowledgedMax);
static_assert(kUnacknowledgedMax >= kRoomOccupantMax + kRoomHistoryMax + kArchivePageMax);
static_assert(kRoomTitleMax + kRoomDescriptionMax + kRoomPasswordMax + kRoomSubjectMax +
                  kRoomNameMax + kResourceMax + 128 <=
              kRowMax);

}  // namespace gh::xmpp
