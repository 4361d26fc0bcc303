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
RUN useradd --system --create-home --home-dir /var/lib/ioex ioex
COPY --from=build /opt/ioex /opt/ioex
ENV PATH=/opt/ioex/bin:$PATH IOEX_DATADIR=/var/lib/ioex/data
USER ioex
VOLUME /var/lib/ioex/data
EXPOSE 20338 20336
ENTRYPOINT ["ioex"]
CMD ["node"]
