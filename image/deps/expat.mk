# expat without DTD and general entities: XMPP forbids both. The caller sets the hash salt from its
# own entropy (XML_SetHashSalt), which is what XML_POOR_ENTROPY leaves to it.
expat_SRCS := expat/lib/xmlparse.c expat/lib/xmlrole.c expat/lib/xmltok.c
expat_CFLAGS = -DXML_NS=1 -DXML_GE=0 -DXML_CONTEXT_BYTES=1024 -DXML_POOR_ENTROPY=1 -DBYTEORDER=1234 \
  -DHAVE_MEMMOVE=1 -DXML_STATIC=1 -DXML_BUILDING_EXPAT=1 -I$(SRC)/expat/lib
expat_INSTALL_HEADERS = cp $(SRC)/expat/lib/expat.h $(SRC)/expat/lib/expat_external.h $(DEPS)/include/ && \
  touch $(DEPS)/include/expat_config.h
