# syntax=docker/dockerfile:1.7

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/pathway
WORKDIR /source
COPY requirements.run.lock ./
RUN /opt/pathway/bin/python -m pip install --require-hashes -r requirements.run.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY pathway pathway
COPY handlers handlers
RUN /opt/pathway/bin/python -m pip install --no-deps .

FROM python:3.11.13-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin pathway \
    && install -d -o pathway -g pathway -m 0700 /data
COPY --from=build /opt/pathway /opt/pathway
# Secrets are mounted as their owner on the host left them. Ours must be readable by us alone: they
# are copied to /run/pathway, which is to be a tmpfs of our own.
COPY --chmod=0755 <<'ENTRYPOINT' /usr/local/bin/with-secrets
#!/bin/sh
set -eu
umask 077
for file in /run/secrets/*; do
  [ -f "$file" ] && cp "$file" /run/pathway/
done
exec "$@"
ENTRYPOINT
ENV PATH=/opt/pathway/bin:$PATH PYTHONUNBUFFERED=1 PATHWAY_DATA=/data
USER pathway
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["with-secrets", "pathway"]
CMD ["worker"]
