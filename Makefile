# Two commands: "make run" shows it working, "make test" proves it.

SHELL := /bin/bash

# where nginx is, which is not in everybody's PATH
export PATH := $(PATH):/usr/sbin:/sbin

NGINX_SRC ?= /usr/share/nginx/src
CC ?= cc
CLANG ?= clang
BUILD := $(CURDIR)/build

CFLAGS ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
WARN := -std=gnu11 -Wall -Wextra -Wshadow -Wpointer-arith -Werror
INCS := -Isrc/audience -Isrc/store -Isrc/ctl -I$(BUILD)
LIBS := -lhiredis -ljansson -lcrypto
CTL_LIBS := $(LIBS) -lssl -lcurl

PURE := $(wildcard src/audience/*.c src/store/*.c)
CTL_PURE := src/ctl/ctl_oauth_answer.c src/ctl/ctl_oauth_text.c \
    src/ctl/ctl_redirect.c src/ctl/ctl_agent_due.c \
    $(wildcard src/ctl/ctl_journal*.c)
HEADERS := $(wildcard src/*/*.h t/*/*.h)
SCRIPTS := $(wildcard src/store/*.lua)
MODULE_SRCS := ngx_pinaud_module.c $(wildcard src/gateway/*.c)
TESTS := $(patsubst t/unit/%.c,$(BUILD)/unit/%,$(wildcard t/unit/*_test.c))
FUZZERS := $(patsubst t/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard t/fuzz/*_fuzz.c))

# seconds that each fuzzer runs within "make test", and by "make fuzz"
FUZZ_SHORT ?= 10
FUZZ_LONG ?= 600


all: module pinaudctl

module: $(BUILD)/ngx_pinaud_module.so
pinaudctl: $(BUILD)/pinaudctl


# The module is built the way nginx builds add-ons, in a folder of its own.

$(BUILD)/nginx/Makefile: config
	@[ -r $(NGINX_SRC)/conf_flags ] || { echo "nginx's headers are not in" \
	    "$(NGINX_SRC). Debian has them: apt-get install nginx-dev"; exit 1; }
	@mkdir -p $(BUILD); v=$$(nginx -v 2>&1); echo "  configure for $${v##* }"
	@cd $(NGINX_SRC) && . ./conf_flags && ./configure \
	    "$${NGX_CONF_FLAGS[@]}" --builddir=$(BUILD)/nginx \
	    --with-cc-opt='$(CFLAGS) -Wextra' \
	    --add-dynamic-module=$(CURDIR) > $(BUILD)/configure.log \
	    || { grep -A 9 ' error: ' $(BUILD)/configure.log \
	    || tail -n 20 $(BUILD)/configure.log; exit 1; }

$(BUILD)/ngx_pinaud_module.so: $(BUILD)/nginx/Makefile $(MODULE_SRCS) \
    $(PURE) $(HEADERS) $(BUILD)/pinaud_scripts.h
	@cmp -s $(BUILD)/pinaud_scripts.h $(BUILD)/nginx/pinaud_scripts.h \
	    || cp $(BUILD)/pinaud_scripts.h $(BUILD)/nginx/
	@echo "  cc build/ngx_pinaud_module.so"
	@$(MAKE) -C $(NGINX_SRC) -f $(BUILD)/nginx/Makefile modules \
	    > $(BUILD)/module.log 2>&1 || { cat $(BUILD)/module.log; exit 1; }
	@cp $(BUILD)/nginx/ngx_pinaud_module.so $@.tmp && mv $@.tmp $@

$(BUILD)/pinaud_scripts.h: src/store/embed.sh $(SCRIPTS)
	@mkdir -p $(BUILD)
	@sh src/store/embed.sh $@

$(BUILD)/pinaudctl: $(wildcard src/ctl/*.c) $(PURE) $(HEADERS) \
    $(BUILD)/pinaud_scripts.h
	@echo "  cc build/pinaudctl"
	@$(CC) $(CFLAGS) $(WARN) $(INCS) -o $@.tmp $(filter %.c,$^) $(CTL_LIBS) \
	    && mv $@.tmp $@


deps:
	@sh t/tools/deps.sh

run:
	@sh t/tools/deps.sh run
	@$(MAKE) --no-print-directory -s all
	@perl t/run.pl


# All of it, with a line at the end that counts.

test:
	@sh t/tools/deps.sh
	@$(MAKE) --no-print-directory all unit-build fuzz-build asan-build
	@perl t/tools/test.pl

unit-build: $(TESTS)

fuzz-build: $(FUZZERS)

asan-build: $(BUILD)/asan/pinaudctl
	@echo "  nginx and the module with sanitizers"
	@bash t/tools/nginx_asan.sh $(BUILD)/asan

unit: unit-build
	@perl t/tools/test.pl unit

test-nginx: all
	@perl t/tools/test.pl nginx

test-asan: all asan-build
	@perl t/tools/test.pl asan

# The same source on the next Debian, in a system of its own. Needs root.

test-debian13:
	@bash t/tools/debian13.sh $(TESTS13)

fuzz: fuzz-build
	@FUZZ_SECONDS=$(FUZZ_LONG) perl t/tools/test.pl fuzz

bench:
	@sh t/tools/deps.sh
	@$(MAKE) --no-print-directory -s all
	@perl t/bench/bench.pl

bench-latency: all
	@perl t/bench/latency.pl

bench-scale: all
	@perl t/bench/scale.pl

# The unit tests and the fuzzers take the pure sources once each, compiled
# for them.

SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    -fno-omit-frame-pointer
UNIT_FLAGS := -O1 -g $(SANITIZE) $(WARN) $(INCS)
FUZZ_FLAGS := -O1 -g -fsanitize=fuzzer-no-link $(SANITIZE) $(WARN) $(INCS)
UNIT_OBJS := $(patsubst src/%.c,$(BUILD)/unit/%.o,$(PURE) $(CTL_PURE))
FUZZ_OBJS := $(patsubst src/%.c,$(BUILD)/fuzz/%.o,$(PURE) $(CTL_PURE))

$(BUILD)/unit/%.o: src/%.c $(HEADERS) $(BUILD)/pinaud_scripts.h
	@mkdir -p $(@D); echo "  cc $(patsubst $(BUILD)/%,%,$@)"
	@$(CC) $(UNIT_FLAGS) -c -o $@ $<

$(BUILD)/unit/%: t/unit/%.c $(UNIT_OBJS)
	@echo "  cc $(patsubst $(BUILD)/%,%,$@)"
	@$(CC) $(UNIT_FLAGS) -o $@ $^ $(LIBS) -lcmocka

$(BUILD)/asan/pinaudctl: $(wildcard src/ctl/*.c) $(UNIT_OBJS)
	@mkdir -p $(@D); echo "  cc build/asan/pinaudctl"
	@$(CC) $(UNIT_FLAGS) -o $@.tmp $(filter-out $(CTL_PURE),$^) $(CTL_LIBS) \
	    && mv $@.tmp $@

$(BUILD)/fuzz/%.o: src/%.c $(HEADERS) $(BUILD)/pinaud_scripts.h
	@mkdir -p $(@D); echo "  clang $(patsubst $(BUILD)/%,%,$@)"
	@$(CLANG) $(FUZZ_FLAGS) -c -o $@ $<

$(BUILD)/fuzz/%: t/fuzz/%.c $(FUZZ_OBJS)
	@echo "  clang $(patsubst $(BUILD)/%,%,$@)"
	@$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)


clean:
	rm -rf $(BUILD)

.PHONY: all module pinaudctl deps run test unit-build fuzz-build asan-build \
    unit test-nginx test-asan test-debian13 fuzz bench bench-latency \
    bench-scale clean
.SECONDARY: $(UNIT_OBJS) $(FUZZ_OBJS)
