# mbedTLS 3.6: one archive with crypto, X.509 and TLS. Configuration: crypto/mbedtls_config.h.
# Local patches: crypto/mbedtls-patches/*.patch (applied at unpacking).
mbedtls_CONFIG := crypto/mbedtls_config.h
mbedtls_SRCS := library/*.c
mbedtls_CFLAGS = -I$(SRC)/library
mbedtls_INSTALL_HEADERS = cp -r $(SRC)/include/. $(DEPS)/include && \
  cp crypto/mbedtls_config.h $(DEPS)/include/mbedtls/mbedtls_config.h
