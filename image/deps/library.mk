# Builds one library for one board: make -f image/deps/library.mk LIB=mbedtls BOARD=pc
#
# Each library is a list of sources and flags; its public headers go to out/<board>/deps/include and
# its archive to out/<board>/deps/lib. The stamp is written last by the calling Makefile.
include board/board.mk
include image/deps/$(LIB).mk
.DELETE_ON_ERROR:
.SUFFIXES:

SRC := out/deps/src/$(LIB)
DEPS := out/$(BOARD)/deps
OBJ := out/$(BOARD)/deps/obj/$(LIB)
ARCHIVE := $(DEPS)/lib/lib$(LIB).a

CFLAGS := -std=gnu11 -w $($(BOARD)_COMMON) $($(LIB)_CFLAGS) $($(LIB)_$(BOARD)_CFLAGS) \
  -Iout/$(BOARD)/deps/include $($(BOARD)_C_INCLUDES)
SKIPPED := $(addprefix $(SRC)/,$($(LIB)_$(BOARD)_SKIP))
SOURCES := $(filter-out $(SKIPPED),$(wildcard $(addprefix $(SRC)/,$($(LIB)_SRCS))))
OBJECTS := $(patsubst $(SRC)/%,$(OBJ)/%.o,$(SOURCES))

$(ARCHIVE): $(OBJECTS)
	rm -f $@; ar rcsD $@ $^
	$($(LIB)_ARCHIVE_STEP)

$(OBJECTS): $(OBJ)/%.o: $(SRC)/% $(OBJ)/.headers
	mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

# Headers first: sources are compiled against the installed ones, configuration included.
$(OBJ)/.headers: $(SRC)/.unpacked image/deps/$(LIB).mk image/deps/library.mk \
  out/$(BOARD)/deps/flags $($(LIB)_CONFIG)
	mkdir -p $(@D) $(DEPS)/include $(DEPS)/lib
	$($(LIB)_INSTALL_HEADERS)
	touch $@
