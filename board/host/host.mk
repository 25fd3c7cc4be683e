# The appliance as a Linux process.
$(eval $(call program,out/host/gatehouse,host,$(wildcard board/host/*.cc),firmware))
out/host/gatehouse: out/host/obj/gen/version.o
