# Digests, signatures, password hashing (libsodium); TLS and X.509 (mbedTLS), their slowest
# loops (OpenSSL's assembly).
ROOMS += crypto
crypto_SRCS := $(wildcard crypto/*.cc crypto/*/*.cc)
crypto_USES := hal
crypto_DEPS := libsodium mbedtls openssh openssl
