# syntax=docker/dockerfile:1
# The daemon of a GPU box. From the repository's root:
#   docker build -f docker/client.Dockerfile -t fedshow-client .
#   docker run --rm -v fedshow:/home/fedshow/.fedshow fedshow-client client join fedshow-join:…
#   docker run -d --init --gpus all --name fedshow -v fedshow:/home/fedshow/.fedshow -v ~/pictures:/pictures:ro fedshow-client
#   docker exec fedshow fedshow client add /pictures/mimi --name mimi --class cat
# Without a graphics card add --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu and leave out --gpus all.
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
RUN python requirements.py client < pyproject.toml > requirements.txt

FROM ${BASE}
RUN groupadd --gid 10001 fedshow \
    && useradd --uid 10001 --gid 10001 --create-home fedshow \
    && install -d -o fedshow -g fedshow -m 700 /home/fedshow/.fedshow /home/fedshow/.cache \
    && python -m venv /opt/fedshow
ENV PATH=/opt/fedshow/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    FEDSHOW_HOME=/home/fedshow/.fedshow
# Three layers, the one that changes least first; from wheels alone, so that nothing is compiled.
ARG TORCH_INDEX=
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
WORKDIR /home/fedshow
VOLUME ["/home/fedshow/.fedshow", "/home/fedshow/.cache"]
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s \
  CMD ["python", "-c", "import json, subprocess as s, sys; sys.exit(json.loads(s.check_output(['fedshow', 'client', 'status', '--json']))['daemon'] is None)"]
ENTRYPOINT ["fedshow"]
CMD ["client", "run"]

ARG BASE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fedshow client" \
      org.opencontainers.image.description="Tunes concepts on this machine and hands over adapters, never pictures" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="$BASE" \
      org.opencontainers.image.revision="$REVISION"
