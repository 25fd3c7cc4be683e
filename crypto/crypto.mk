# Digests, signatures, password hashing (libsodium); TLS and X.509 (mbedTLS).
ROOMS += crypto
crypto_SRCS := $(wildcard crypto/*.cc crypto/*/*.cc)
crypto_USES := hal
crypto_DEPS := libsodium mbedtls openssh
