# libsodium 1.0.18 with what its configure finds on x86-64; SIMD is chosen at run time by CPUID.
# On pc there is no system random source: the board must call randombytes_set_implementation
# before anything else of the library. Its few allocations (Argon2) go to crypto/password.cc's
# reserved memory, on every board: hence the renamed malloc, and no mmap.
libsodium_SRCS := $(addprefix src/libsodium/,*/*.c */*/*.c */*/*/*.c */*/*/*/*.c) \
  $(addprefix src/libsodium/,*/*/*.S */*/*/*.S */*/*/*/*.S)
libsodium_CFLAGS = -I$(SRC)/src/libsodium/include/sodium -I$(DEPS)/include/sodium \
  -DSODIUM_STATIC=1 \
  -DCONFIGURED=1 -DNATIVE_LITTLE_ENDIAN=1 -DHAVE_INLINE_ASM=1 -DHAVE_AMD64_ASM=1 -DHAVE_AVX_ASM=1 \
  -DHAVE_TI_MODE=1 -DHAVE_CPUID=1 -DHAVE_WEAK_SYMBOLS=1 -DHAVE_ATOMIC_OPS=1 \
  -DCPU_UNALIGNED_ACCESS=1 \
  -DASM_HIDE_SYMBOL=.hidden -DHAVE_MMINTRIN_H=1 -DHAVE_EMMINTRIN_H=1 -DHAVE_PMMINTRIN_H=1 \
  -DHAVE_TMMINTRIN_H=1 -DHAVE_SMMINTRIN_H=1 -DHAVE_AVXINTRIN_H=1 -DHAVE_AVX2INTRIN_H=1 \
  -DHAVE_AVX512FINTRIN_H=1 -DHAVE_WMMINTRIN_H=1 -DHAVE_RDRAND=1 -DHAVE_STDINT_H=1 \
  -Dmalloc=gh_sodium_malloc -Dfree=gh_sodium_free
libsodium_host_CFLAGS := -DHAVE_EXPLICIT_BZERO=1 -DHAVE_GETPID=1 \
  -DHAVE_NANOSLEEP=1
libsodium_pc_CFLAGS := -DRANDOMBYTES_CUSTOM_IMPLEMENTATION=1 \
  -DRANDOMBYTES_DEFAULT_IMPLEMENTATION=NULL
libsodium_pc_SKIP := src/libsodium/randombytes/internal/% src/libsodium/randombytes/sysrandom/%
libsodium_INSTALL_HEADERS = mkdir -p $(DEPS)/include/sodium && \
  cp $(SRC)/src/libsodium/include/sodium.h $(DEPS)/include/ && \
  cp $(SRC)/src/libsodium/include/sodium/*.h $(DEPS)/include/sodium/ && \
  sed -e s/@VERSION@/1.0.18/ -e s/@SODIUM_LIBRARY_VERSION_MAJOR@/10/ \
    -e s/@SODIUM_LIBRARY_VERSION_MINOR@/3/ -e s/@SODIUM_LIBRARY_MINIMAL_DEF@// \
    $(SRC)/src/libsodium/include/sodium/version.h.in >$(DEPS)/include/sodium/version.h
