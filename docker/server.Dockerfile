# The aggregation server. Build from the repository root:
#   docker build -f docker/server.Dockerfile -t fedshow-server .
#   docker run -v fedshow:/data -p 8443:8443 -p 8444:8444 fedshow-server --public-name art.example.org
FROM python:3.11-slim
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir -c constraints.txt ".[postgres,s3]" && rm -rf /src/*
RUN useradd --create-home fedshow && mkdir /data && chown fedshow /data
USER fedshow
VOLUME /data
EXPOSE 8443 8444
HEALTHCHECK CMD ["python", "-c", "import ssl, urllib.request as r; r.urlopen('https://127.0.0.1:8443/healthz', context=ssl._create_unverified_context())"]
ENTRYPOINT ["fedshow", "server", "run", "--data", "/data", "--listen", "0.0.0.0:8443"]
