# PostgreSQL's own image with durable_wf: preloaded, and created in the database
# that the image makes.
#
#   docker build -t durable_wf .                      # PostgreSQL 15
#   docker build -t durable_wf --build-arg PG=18 .
#   docker run -e POSTGRES_PASSWORD=secret -p 127.0.0.1:5432:5432 durable_wf
#
# A name for what is common to both stages, so that they have one release of
# Debian, and one of PostgreSQL.
ARG PG=15
FROM postgres:${PG}-bookworm AS server

FROM server AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
        gcc libc6-dev libhttp-parser-dev make "postgresql-server-dev-$PG_MAJOR"
COPY . /src
RUN make -j"$(nproc)" -C /src PG_CONFIG="/usr/lib/postgresql/$PG_MAJOR/bin/pg_config" \
        GATEWAY=yes with_llvm=no DESTDIR=/out install

# The server is made as new as the headers above, if the base image is older.
FROM server
RUN apt-get update \
 && apt-get install -y --no-install-recommends libhttp-parser2.9 "postgresql-$PG_MAJOR" \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /
COPY packaging/image/create-extension.sql /docker-entrypoint-initdb.d/durable_wf.sql
CMD ["postgres", "-c", "shared_preload_libraries=durable_wf", "-c", "max_worker_processes=32"]
