# OpenSSL's assembly for P-256 and for the powers of RSA with the C around it, AES in counter mode
# and GHASH: what mbedTLS takes twenty, four and ten times as long for (crypto/mbedtls-patches/0006
# and 0009). Nothing else of it.
openssl_SRCS := crypto/ec/ecp_nistz256.c crypto/bn/gatehouse_exp.c assembled/*.s
openssl_CFLAGS = -DGATEHOUSE -Wa,--noexecstack -I$(SRC)/crypto/ec
openssl_INSTALL_HEADERS = cp $(SRC)/crypto/ec/gatehouse_openssl.h $(DEPS)/include/
