# $(call tools,a b) are the files of tools a and b, built where they are missing
# at the version that hack/tools pins.
tools = $(addprefix bin/tools/,$(1))

.PHONY: FORCE
bin/tools/%: FORCE
	@hack/tools/build.sh $*
