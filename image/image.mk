# The signed image's format, shared by loader, firmware and host tools; and what those tools are
# made of. The tool itself, and what it makes: boot/loader.mk.
ROOMS += image image_tool
image_SRCS := $(wildcard image/*.cc) gen/image/sbom.gen.cc
image_PROTOS := $(wildcard image/*.proto)
image_USES := crypto
image_DEPS := nanopb

image_tool_SRCS := $(filter-out image/tool/main.cc,$(wildcard image/tool/*.cc))
image_tool_USES := image
image_tool_BOARDS := host asan
