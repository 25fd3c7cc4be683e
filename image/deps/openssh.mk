# Post-quantum key encapsulation out of OpenSSH's sources: sntrup761 (compiled here) and ML-KEM-768
# (a header of inline functions, compiled into crypto/kem.cc). Nothing else of OpenSSH is built: its
# includes.h is kept out by its own guard. Randomness is libsodium's, that is, crypto/random.h's.
openssh_SRCS := sntrup761.c
openssh_CFLAGS = -DINCLUDES_H -DHAVE_STDINT_H -DUSE_SNTRUP761X25519 -include stddef.h \
  -Darc4random_buf=randombytes_buf -Darc4random=randombytes_random
openssh_INSTALL_HEADERS = mkdir -p $(DEPS)/include/openssh && \
  cp $(SRC)/crypto_api.h $(SRC)/libcrux_mlkem768_sha3.h $(DEPS)/include/openssh/ && \
  : >$(DEPS)/include/openssh/includes.h
