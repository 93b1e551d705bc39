# syntax=docker/dockerfile:1
# The aggregation server. From the repository's root:
#   docker build -f docker/server.Dockerfile -t fedshow-server .
#   docker run -d --init --name fedshow -v fedshow:/data -p 8443:8443 -p 8444:8444 \
#     -e FEDSHOW_SERVER_PUBLIC_NAME=art.example.org fedshow-server
#   docker exec fedshow fedshow server invite alice
# It fuses and draws on the processor; for a graphics card add --build-arg TORCH_INDEX= and run it with --gpus all.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS wheel
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY client client
COPY server server
COPY shared shared
COPY systemd systemd
RUN --mount=type=cache,target=/root/.cache/pip \
    PIP_CONSTRAINT=/src/constraints.txt pip wheel --no-deps --wheel-dir /dist .

FROM ${BASE} AS requirements
WORKDIR /src
COPY docker/requirements.py pyproject.toml ./
RUN python requirements.py server < pyproject.toml > requirements.txt

FROM ${BASE}
RUN groupadd --gid 10001 fedshow \
    && useradd --uid 10001 --gid 10001 --create-home fedshow \
    && install -d -o fedshow -g fedshow -m 700 /data \
    && python -m venv /opt/fedshow
ENV PATH=/opt/fedshow/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/data/hub \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    FEDSHOW_SERVER_DATA=/data \
    FEDSHOW_SERVER_LISTEN=0.0.0.0:8443
# Three layers, the one that changes least first; from wheels alone, so that nothing is compiled.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=constraints.txt,target=/mnt/constraints.txt \
    pip install --only-binary :all: --constraint /mnt/constraints.txt \
    ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=constraints.txt,target=/mnt/constraints.txt \
    --mount=type=bind,from=requirements,source=/src,target=/mnt/requirements \
    pip install --only-binary :all: --constraint /mnt/constraints.txt --requirement /mnt/requirements/requirements.txt
RUN --mount=type=bind,from=wheel,source=/dist,target=/mnt/dist \
    pip install --no-cache-dir --no-deps /mnt/dist/*.whl && pip check

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8443 8444
# Gigabytes of a base may come from the hub before it listens; the first yes ends the start.
HEALTHCHECK --interval=30s --timeout=10s --start-period=1h \
  CMD ["python", "-c", "import ssl, urllib.request as r; r.urlopen('https://127.0.0.1:8443/healthz', timeout=8, context=ssl._create_unverified_context())"]
ENTRYPOINT ["fedshow"]
CMD ["server", "run"]

ARG BASE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fedshow server" \
      org.opencontainers.image.description="Fuses everybody's concepts into one model and publishes it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="$BASE" \
      org.opencontainers.image.revision="$REVISION"
