# Two commands: "make run" shows it working, "make test" proves it.

NGINX_SRC ?= /usr/share/nginx/src
CC ?= cc
CLANG ?= clang
BUILD := $(CURDIR)/build

CFLAGS ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wpointer-arith -Werror
INCS := -Isrc/audience -Isrc/store -Isrc/ctl -I$(BUILD)
LIBS := -lhiredis -ljansson -lcrypto -lcurl

PURE := $(wildcard src/audience/*.c src/store/*.c)
HEADERS := $(wildcard src/*/*.h)
SCRIPTS := $(wildcard src/store/*.lua)
MODULE_SRCS := ngx_pinaud_module.c $(wildcard src/gateway/*.c)
TESTS := $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(wildcard t/unit/*_test.c))
FUZZERS := $(patsubst t/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard t/fuzz/*_fuzz.c))


all: module pinaudctl

module: $(BUILD)/ngx_pinaud_module.so
pinaudctl: $(BUILD)/pinaudctl


# The module is built the way nginx builds add-ons, in a folder of its own.

$(BUILD)/nginx/Makefile: config
	mkdir -p $(BUILD)
	cd $(NGINX_SRC) && . ./conf_flags && ./configure \
	    "$${NGX_CONF_FLAGS[@]}" --builddir=$(BUILD)/nginx \
	    --with-cc-opt='$(CFLAGS) -Wextra' \
	    --add-dynamic-module=$(CURDIR) > $(BUILD)/configure.log \
	    || { tail -n 20 $(BUILD)/configure.log; exit 1; }

$(BUILD)/ngx_pinaud_module.so: $(BUILD)/nginx/Makefile $(MODULE_SRCS) \
    $(PURE) $(HEADERS) $(BUILD)/pinaud_scripts.h
	$(MAKE) -C $(NGINX_SRC) -f $(BUILD)/nginx/Makefile modules \
	    > $(BUILD)/module.log 2>&1 || { cat $(BUILD)/module.log; exit 1; }
	cp $(BUILD)/nginx/ngx_pinaud_module.so $@.tmp && mv $@.tmp $@

$(BUILD)/pinaud_scripts.h: src/store/embed.sh $(SCRIPTS)
	mkdir -p $(BUILD)
	sh src/store/embed.sh $@

$(BUILD)/pinaudctl: $(wildcard src/ctl/*.c) $(PURE) $(HEADERS) \
    $(BUILD)/pinaud_scripts.h
	$(CC) $(CFLAGS) $(WARN) $(INCS) -o $@ $(filter %.c,$^) $(LIBS)


unit: $(TESTS)
	@for test in $(TESTS); do $$test || exit 1; done

$(BUILD)/unit/%: t/unit/%.c $(PURE) $(HEADERS) $(BUILD)/pinaud_scripts.h
	mkdir -p $(BUILD)/unit
	$(CC) -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer \
	    $(WARN) $(INCS) -o $@ $< $(PURE) $(LIBS) -lcmocka


fuzz: $(FUZZERS)

$(BUILD)/fuzz/%: t/fuzz/%.c $(PURE) $(HEADERS) $(BUILD)/pinaud_scripts.h
	mkdir -p $(BUILD)/fuzz
	$(CLANG) -O1 -g -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=undefined $(WARN) $(INCS) -o $@ $< $(PURE) $(LIBS)


clean:
	rm -rf $(BUILD)

.PHONY: all module pinaudctl unit fuzz clean
SHELL := /bin/bash
