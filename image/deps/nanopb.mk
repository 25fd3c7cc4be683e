# nanopb's runtime, no heap; the generator is run from its source tree (see Makefile).
nanopb_SRCS := pb_common.c pb_encode.c pb_decode.c
nanopb_CFLAGS := -DPB_VALIDATE_UTF8=1
nanopb_INSTALL_HEADERS = cp $(SRC)/pb*.h $(DEPS)/include/
