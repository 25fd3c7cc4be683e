# The signed image's format, shared by loader, firmware and host tools.
ROOMS += image
image_SRCS := $(wildcard image/*.cc)
image_PROTOS := $(wildcard image/*.proto)
image_USES := crypto
image_DEPS := nanopb
