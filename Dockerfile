FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-dev.lock \
    && /opt/build/bin/python -m hatchling build -t wheel
RUN python -m venv /opt/ioex \
    && /opt/ioex/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && /opt/ioex/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.12-slim
RUN useradd --system --create-home --home-dir /var/lib/ioex ioex \
    && install --directory --owner ioex --group ioex --mode 0700 /var/lib/ioex/data
COPY --from=build /opt/ioex /opt/ioex
# Inside a container every network has mainnet's ports, so that EXPOSE and the health check are right for all.
ENV PATH=/opt/ioex/bin:$PATH \
    IOEX_DATADIR=/var/lib/ioex/data \
    IOEX_P2P_HOST=0.0.0.0 \
    IOEX_P2P_PORT=20338 \
    IOEX_RPC_PORT=20336 \
    IOEX_STRATUM_PORT=20335 \
    IOEX_METRICS_PORT=9420
USER ioex
VOLUME /var/lib/ioex/data
# Peers, JSON-RPC, Stratum, metrics: only the first is for the internet.
EXPOSE 20338 20336 20335 9420
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['IOEX_RPC_PORT'] + '/healthz', timeout=15)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["ioex"]
CMD ["node"]
