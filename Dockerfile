# The gateway as an image: no shell-script in between, no root, nothing written outside /var/lib/gmi-gateway and /tmp.
#
#   docker build -t gmi-gateway .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -p 8080:8080 gmi-gateway serve --simulate
#
# To build the same image twice, give the base by its digest: --build-arg BASE=docker.io/library/python:3.13-slim@sha256:…
ARG BASE=docker.io/library/python:3.13-slim

# What is installed: every dependency by its hash, then the gateway. Neither pip nor debugging symbols stay; psycopg's
# libraries were moved together by a tool whose work `strip` would undo.
FROM ${BASE} AS installed
# Which binutils strips makes no difference: nothing of this stage stays but the virtual environment.
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils >/dev/null
WORKDIR /src
RUN python3 -m venv /opt/gmi-gateway
COPY requirements.lock ./
RUN /opt/gmi-gateway/bin/pip install --no-cache-dir --no-compile --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY policies policies
COPY gateway gateway
RUN /opt/gmi-gateway/bin/pip install --no-cache-dir --no-compile --no-deps . \
    && /opt/gmi-gateway/bin/pip uninstall --quiet --yes pip \
    && find /opt/gmi-gateway/bin -not -name 'python*' -not -name gmi-gateway -type f -delete \
    && find /opt/gmi-gateway/lib -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.pyi' \) -delete \
    && find /opt/gmi-gateway/lib -name '*.so' -not -path '*/psycopg_binary*' -exec strip --strip-debug {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/gmi-gateway/lib

# What it runs on: the base's libraries and its Python. No shell, no tools, no package manager.
FROM ${BASE} AS system
RUN echo 'gateway:x:10001:10001::/var/lib/gmi-gateway:/nonexistent' >> /etc/passwd \
    && echo 'gateway:x:10001:' >> /etc/group \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/gmi-gateway \
    && rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bug \
        /usr/share/python-wheels /usr/share/perl* /usr/lib/*/perl* /usr/lib/*/gconv /usr/lib/*/libapt-* /usr/lib/apt \
        /usr/lib/systemd /usr/local/include /var/lib/apt /var/lib/dpkg/info /var/cache/* /var/log/* \
    && find /usr/lib /usr/local/lib -path '*/python3*' \( -name ensurepip -o -name idlelib -o -name tkinter \
        -o -name turtledemo -o -name pydoc_data -o -name lib2to3 -o -name test -o -name pip -o -name 'pip-*' \) \
        -prune -exec rm -r {} + \
    && find /usr/bin /usr/sbin /usr/local/bin -not -type d -not -name 'python*' -delete

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="gmi-gateway" \
      org.opencontainers.image.description="Team keys, exact quotas and budgets, and isolated jobs in front of GMI Cloud's API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The whole of it, because what was taken away must not lie in a layer below.
# hadolint ignore=DL3067
COPY --from=system / /
COPY --from=installed /opt/gmi-gateway /opt/gmi-gateway
COPY policies /etc/gmi-gateway/policies
# In a container loopback is nobody's: both listeners answer on every address, and who may reach them is the network's.
ENV PATH=/opt/gmi-gateway/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_ADMIN_HOST=0.0.0.0 \
    GATEWAY_POLICIES=/etc/gmi-gateway/policies \
    GATEWAY_LEDGER=sqlite:////var/lib/gmi-gateway/gateway.db
USER 10001:10001
WORKDIR /var/lib/gmi-gateway
VOLUME ["/var/lib/gmi-gateway"]
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["gmi-gateway", "health"]
ENTRYPOINT ["gmi-gateway"]
CMD ["serve"]
