# For GPUs from Ampere on, on x86-64, by TensorRT-RTX (docs/gpu.md says which). Needs the NVIDIA Container Toolkit.
# docker build -f docker/cuda.Dockerfile -t streamanon:cuda .
# docker run --rm --gpus all -v "$PWD:/data" streamanon:cuda run /data/in.mp4 -o /data/out.mp4
# PyTorch's wheel brings CUDA, so the image needs no CUDA of its own; the driver is the host's.
FROM python:3.12-slim
COPY . /src
RUN python -m venv /opt/streamanon \
 && /opt/streamanon/bin/pip install --no-cache-dir '/src[trt-rtx]' 'torch>=2.4' 'nvidia-ml-py>=12' \
 && rm -rf /src \
 && useradd --create-home streamanon
# Plans for the usual GPUs in the cache folder of a run, which finds them there and adds compiled kernels.
ENV XDG_CACHE_HOME=/opt/cache
RUN /opt/streamanon/bin/streamanon engines build --target sm86,sm89,sm120 --quiet \
 && chown -R streamanon /opt/cache
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER streamanon
WORKDIR /data
ENTRYPOINT ["/opt/streamanon/bin/streamanon"]
CMD ["doctor"]
