# The daemon of a GPU box. Build from the repository root:
#   docker build -f docker/client.Dockerfile -t fedshow-client .
#   docker run --gpus all -v ~/.fedshow:/home/fedshow/.fedshow -v ~/pictures:/pictures:ro fedshow-client client run
FROM python:3.11-slim
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir -c constraints.txt . && rm -rf /src/*
RUN useradd --create-home fedshow
USER fedshow
ENTRYPOINT ["fedshow"]
CMD ["client", "run"]
