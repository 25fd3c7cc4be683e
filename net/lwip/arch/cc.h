/* lwIP's compiler and platform port. */
#ifndef GH_LWIP_CC_H
#define GH_LWIP_CC_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_UNISTD_H 1
#ifndef SSIZE_MAX
#define SSIZE_MAX INT_MAX
#endif
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS 1

#ifdef __cplusplus
extern "C" {
#endif
/* A broken invariant inside lwIP: our own mistake or lwIP's, never the wire's. Does not return. */
__attribute__((noreturn)) void gh_lwip_panic(const char* message, const char* file, int line);
uint32_t gh_lwip_random(void);
uint16_t gh_lwip_checksum(const void* data, int size);
#ifdef __cplusplus
}
#endif

#define LWIP_PLATFORM_ASSERT(message) gh_lwip_panic(message, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(x) \
  do {                        \
  } while (0)
#define LWIP_RAND() gh_lwip_random()
#define lwip_htons(x) __builtin_bswap16(x)
#define lwip_htonl(x) __builtin_bswap32(x)

#endif
