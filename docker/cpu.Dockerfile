# docker build -f docker/cpu.Dockerfile -t streamanon .
# docker run --rm -v "$PWD:/data" streamanon run /data/in.mp4 -o /data/out.mp4
FROM python:3.12-slim
COPY . /src
RUN python -m venv /opt/streamanon \
 && /opt/streamanon/bin/pip install --no-cache-dir '/src[openvino]' \
 && rm -rf /src \
 && useradd --create-home streamanon
USER streamanon
WORKDIR /data
ENTRYPOINT ["/opt/streamanon/bin/streamanon"]
CMD ["doctor"]
