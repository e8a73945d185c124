# Build and install:  make && make install          (PG_CONFIG picks a server)
# For developers:     ./run test                    (make DEV=1, own server)

PG_CONFIG = pg_config

EXTENSION = durable_wf
MODULE_big = durable_wf
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(EXTENSION).control)

OBJS := $(patsubst %.c,%.o,$(sort $(wildcard extension/*.c bgworker/*.c)))

# The install script is generated from these parts, in this order; upgrade
# scripts are written by hand.
INSTALL_PARTS = schema workflow message event notify step body home trigger listen upkeep schedule views
INSTALL_SQL := $(INSTALL_PARTS:%=extension/install/%.sql)
DATA := $(wildcard extension/upgrade/*.sql)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

UNLISTED := $(filter-out $(INSTALL_SQL),$(wildcard extension/install/*.sql))
ifneq ($(UNLISTED),)
$(error not listed in INSTALL_PARTS: $(UNLISTED))
endif

# make installcheck wants a server with shared_preload_libraries = 'durable_wf'
# and max_prepared_transactions = 10.  iso-setup teaches isolationtester to see
# our waits, so it comes first.
REGRESS := $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=$(EXTENSION) --encoding=UTF8 --no-locale
SPECS := $(patsubst specs/%.spec,%,$(sort $(wildcard specs/*.spec)))
ISOLATION := $(filter iso-setup,$(SPECS)) $(filter-out iso-setup,$(SPECS))
ISOLATION_OPTS = $(REGRESS_OPTS)
TAP_TESTS = 1

# The server's headers count as system headers, so that a strict compiler
# speaks of our own code only.
PG_CPPFLAGS = -isystem $(includedir_server) -I$(srcdir)/extension -I$(srcdir)/bgworker
ifdef DEV
PG_CFLAGS = -DUSE_ASSERT_CHECKING -Wall -Wextra -Werror
endif

# What the objects were compiled with: an assert-enabled build, or one for
# another server, is never installed by mistake.
FLAGS_STAMP = $(EXTENSION).flags
EXTRA_CLEAN = $(FLAGS_STAMP)

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Debian's PGXS does not track headers: any header rebuilds every object.
$(OBJS) $(OBJS:.o=.bc): $(wildcard extension/*.h bgworker/*.h) $(FLAGS_STAMP)

$(FLAGS_STAMP): FORCE
	@printf '%s\n' '$(VERSION) $(COMPILE.c)' | cmp -s - $@ || \
	 printf '%s\n' '$(VERSION) $(COMPILE.c)' >$@

$(DATA_built): $(INSTALL_SQL) Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; \
	  cat $(INSTALL_SQL); } >$@

# For ./run: the value of a variable.
print-%:
	@echo '$($*)'

.PHONY: FORCE
