# Build and install:  make && make install          (PG_CONFIG picks a server)
# Outside the tree:   make -f /path/to/Makefile VPATH=/path/to
# For developers:     ./run test                    (make DEV=1, own server)

PG_CONFIG = pg_config

# Where the sources are; PGXS sets srcdir likewise, but only further down.
top := $(or $(VPATH),$(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST)))))

EXTENSION = durable_wf
MODULE_big = durable_wf
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(top)/$(EXTENSION).control)

# The names of the files below $(top) that match these patterns, from there.
find = $(sort $(patsubst $(top)/%,%,$(wildcard $(addprefix $(top)/,$(1)))))

OBJS := $(patsubst %.c,%.o,$(call find,extension/*.c extension/*/*.c bgworker/*.c))
OUR_HEADERS := $(call find,extension/*.h extension/*/*.h bgworker/*.h bgworker/*/*.h)

# The gateway is a library of its own, the only part that needs more than
# PostgreSQL: a parser of HTTP, which is Node's: llhttp, or http-parser, which
# came before it.  GATEWAY=no leaves it out, GATEWAY=yes insists.
has_header = $(shell printf '\043include <$(1)>\n' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 && echo yes)
HTTP_PARSER := $(if $(call has_header,llhttp.h),llhttp,$(if $(call has_header,http_parser.h),http_parser))
GATEWAY := $(if $(HTTP_PARSER),yes,absent)
GATEWAY_NAME = $(EXTENSION)_gateway
GATEWAY_OBJS := $(patsubst %.c,%.o,$(call find,bgworker/gateway/*.c))

# The install script is generated from these parts, in this order; upgrade
# scripts are written by hand.
INSTALL_PARTS = schema workflow attributes message event notify step body hook stream wait_any dead_letter home trigger listen upkeep schedule cluster views columns
INSTALL_SQL := $(INSTALL_PARTS:%=extension/install/%.sql)
DATA := $(call find,extension/upgrade/*.sql)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

UNLISTED := $(filter-out $(INSTALL_SQL),$(call find,extension/install/*.sql))
ifneq ($(UNLISTED),)
$(error not listed in INSTALL_PARTS: $(UNLISTED))
endif

# make installcheck wants a server with shared_preload_libraries = 'durable_wf'
# and max_prepared_transactions = 10.  iso-setup teaches isolationtester to see
# our waits, so it comes first.
REGRESS := $(patsubst sql/%.sql,%,$(call find,sql/*.sql))
REGRESS_OPTS = --load-extension=$(EXTENSION) --encoding=UTF8 --no-locale
SPECS := $(patsubst specs/%.spec,%,$(call find,specs/*.spec))
ISOLATION := $(filter iso-setup,$(SPECS)) $(filter-out iso-setup,$(SPECS))
ISOLATION_OPTS = $(REGRESS_OPTS)
TAP_TESTS = 1

# The server's headers count as system headers, so that a strict compiler
# speaks of our own code only.
PG_CPPFLAGS = -isystem $(includedir_server) -I$(top)/extension -I$(top) -DDWF_VERSION='"$(EXTVERSION)"'
ifeq ($(HTTP_PARSER),llhttp)
PG_CPPFLAGS += -DDWF_LLHTTP
endif
ifdef DEV
PG_CFLAGS = -DUSE_ASSERT_CHECKING -Wall -Wextra -Werror
endif

# What the objects were compiled with: an assert-enabled build, or one for
# another server, is never installed by mistake.
FLAGS_STAMP = $(EXTENSION).flags
EXTRA_CLEAN = $(FLAGS_STAMP) $(GATEWAY_OBJS) $(GATEWAY_NAME)$(DLSUFFIX)

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error no development files of a PostgreSQL server by $(PG_CONFIG): install them (Debian: postgresql-server-dev-15), or say PG_CONFIG=/path/to/pg_config)
endif
include $(PGXS)

# Debian's PGXS does not track headers: any header rebuilds every object.  A
# build outside the tree has no folders yet.
$(shell mkdir -p $(sort $(dir $(OBJS) $(GATEWAY_OBJS))))
$(OBJS) $(OBJS:.o=.bc) $(GATEWAY_OBJS): $(FLAGS_STAMP) $(OUR_HEADERS)

ifeq ($(GATEWAY),yes)
all: $(GATEWAY_NAME)$(DLSUFFIX)

$(GATEWAY_NAME)$(DLSUFFIX): $(GATEWAY_OBJS)
	$(CC) $(CFLAGS) $(GATEWAY_OBJS) $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ -l$(HTTP_PARSER)

install: install-gateway
install-gateway: $(GATEWAY_NAME)$(DLSUFFIX) installdirs
	$(INSTALL_SHLIB) $< '$(DESTDIR)$(pkglibdir)/$<'

uninstall: uninstall-gateway
uninstall-gateway:
	rm -f '$(DESTDIR)$(pkglibdir)/$(GATEWAY_NAME)$(DLSUFFIX)'
endif
ifeq ($(GATEWAY),absent)
all: no-gateway
no-gateway:
	@echo 'NOTICE: the HTTP gateway is not built, since neither llhttp nor http-parser is there (Debian: libllhttp-dev or libhttp-parser-dev)'
endif

$(FLAGS_STAMP): FORCE
	@printf '%s\n' '$(VERSION) $(COMPILE.c)' | cmp -s - $@ || \
	 printf '%s\n' '$(VERSION) $(COMPILE.c)' >$@

$(DATA_built): $(INSTALL_SQL) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; \
	  cat $(addprefix $(top)/,$(INSTALL_SQL)); } >$@

# The release: durable_wf-VERSION.zip of the last commit.
dist:
	$(top)/packaging/dist

# For ./run: the value of a variable.
print-%:
	@echo '$($*)'

.PHONY: FORCE dist no-gateway install-gateway uninstall-gateway
