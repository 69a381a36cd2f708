# An image with the toolkit. Not built where it was written, which had no Docker.
#   docker build -t img2img .                                              CUDA: Linux wheels of torch bring it along
#   docker build -t img2img --build-arg PIP_ARGS='--index-url URL' .       CPU: URL is PyTorch's index of CPU wheels
#   docker run --rm -v "$PWD:/work" [--gpus all] img2img train --model pix2pix
FROM python:3.12-slim
ARG PIP_ARGS=
COPY . /src
RUN pip install --no-cache-dir $PIP_ARGS torch torchvision && pip install --no-cache-dir /src && rm -rf /src
WORKDIR /work
ENTRYPOINT ["img2img"]
CMD ["--help"]
