#include "crypto/tls_environment.h"

#include <mbedtls/entropy.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/platform_util.h>
#include <psa/crypto.h>
#include <sodium/crypto_scalarmult_curve25519.h>

#include <ctime>

#include "hal/rt/assert.h"

namespace gh::crypto {
namespace {

TlsEnvironment* g_environment = nullptr;

void* Allocate(size_t count, size_t size) {
  return g_environment == nullptr ? nullptr : g_environment->heap.AllocateZeroed(count, size);
}

void Free(void* p) {
  if (p == nullptr) {
    return;
  }
  GH_ASSERT(g_environment != nullptr);
  g_environment->heap.Free(p);
}

mbedtls_time_t Time(mbedtls_time_t* out) {
  GH_ASSERT(g_environment != nullptr);
  const mbedtls_time_t now = g_environment->clock.Wall().unix_ns / 1'000'000'000;
  if (out != nullptr) {
    *out = now;
  }
  return now;
}

void InstallHooks() {
  static bool installed = false;
  if (!installed) {
    installed = true;
    mbedtls_platform_set_calloc_free(Allocate, Free);
    mbedtls_platform_set_time(Time);
    // Takes no memory: keys live in static slots, randomness is ours.
    GH_ASSERT_EQ(psa_crypto_init(), PSA_SUCCESS);
  }
}

}  // namespace

TlsScope::TlsScope(TlsEnvironment& environment) : previous_(g_environment) {
  g_environment = &environment;
  InstallHooks();
}

TlsScope::~TlsScope() { g_environment = previous_; }

}  // namespace gh::crypto

// What mbedTLS's configuration and patches leave to us (crypto/mbedtls_config.h, mbedtls-patches/).
extern "C" {

// RFC 7748. Not 0: the shared secret would not depend on ours.
int gh_x25519(unsigned char* shared, const unsigned char* secret, const unsigned char* point) {
  return crypto_scalarmult_curve25519(shared, secret, point);
}

mbedtls_ms_time_t mbedtls_ms_time(void) {
  GH_ASSERT(gh::crypto::g_environment != nullptr);
  return gh::crypto::g_environment->clock.Now().ns / 1'000'000;
}

int mbedtls_hardware_poll(void*, unsigned char* out, size_t size, size_t* count) {
  if (gh::crypto::g_environment == nullptr) {
    return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
  }
  gh::crypto::g_environment->random.Fill({out, size});
  *count = size;
  return 0;
}

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t*, uint8_t* out,
                                             size_t size, size_t* count) {
  if (gh::crypto::g_environment == nullptr) {
    return PSA_ERROR_INSUFFICIENT_ENTROPY;
  }
  gh::crypto::g_environment->random.Fill({out, size});
  *count = size;
  return PSA_SUCCESS;
}

// Days and civil dates: H. Hinnant's algorithm, exact for the proleptic Gregorian calendar.
struct tm* mbedtls_platform_gmtime_r(const mbedtls_time_t* time, struct tm* out) {
  const int64_t days = *time >= 0 ? *time / 86400 : (*time - 86399) / 86400;
  const int64_t second = *time - days * 86400;
  const int64_t shifted = days + 719468;
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month = (5 * day_of_year + 2) / 153;
  *out = {};
  out->tm_mday = static_cast<int>(day_of_year - (153 * month + 2) / 5 + 1);
  out->tm_mon = static_cast<int>(month < 10 ? month + 2 : month - 10);
  out->tm_year = static_cast<int>(year_of_era + era * 400 + (out->tm_mon <= 1 ? 1 : 0) - 1900);
  out->tm_hour = static_cast<int>(second / 3600);
  out->tm_min = static_cast<int>(second / 60 % 60);
  out->tm_sec = static_cast<int>(second % 60);
  return out;
}

}  // extern "C"
