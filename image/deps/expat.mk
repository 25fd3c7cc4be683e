# expat without DTD and general entities: XMPP forbids both. Its hash salt comes from libsodium's
# random bytes, that is, from the board.
expat_SRCS := expat/lib/xmlparse.c expat/lib/xmlrole.c expat/lib/xmltok.c \
  expat/lib/random_arc4random_buf.c
expat_CFLAGS = -DXML_NS=1 -DXML_GE=0 -DXML_CONTEXT_BYTES=1024 -DHAVE_ARC4RANDOM_BUF=1 \
  -Darc4random_buf=randombytes_buf -DBYTEORDER=1234 -DHAVE_MEMMOVE=1 -DXML_STATIC=1 \
  -DXML_BUILDING_EXPAT=1 -I$(OBJ) -I$(SRC)/expat/lib

# Its debugging output has nowhere to go.
expat_INSTALL_HEADERS = \
  cp $(SRC)/expat/lib/expat.h $(SRC)/expat/lib/expat_external.h $(DEPS)/include/ && \
  printf '%s\n' '\#include <stdio.h>' '\#define fprintf(...) ((void)0)' >$(OBJ)/expat_config.h
