# The commands `fcn` and `caffe` in a container.
#   docker build -t fcn .                               # PyTorch for CPUs
#   docker build -t fcn:cuda --build-arg TORCH=cu130 .  # for NVIDIA GPUs (NVIDIA Container Toolkit)
#   docker run --rm -v "$PWD:/work" fcn solve --data my_data
#   docker run --rm -v "$PWD:/work" --gpus all fcn:cuda solve --data my_data --gpu 0
#   docker run --rm -v "$PWD:/work" --entrypoint caffe fcn train --solver solver.prototxt
FROM python:3.11-slim

# the last part of an address under https://download.pytorch.org/whl/
ARG TORCH=cpu

WORKDIR /opt/fcn
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/${TORCH} torch setuptools
COPY . .
RUN pip install --no-cache-dir -c constraints.txt --no-build-isolation '.[export]' \
    && rm -rf build

# runs and downloads go to the current folder, as files of a machine's first user and not of root;
# other users say --user "$(id -u):$(id -g)"
RUN mkdir -m 1777 /work
ENV HOME=/tmp
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["fcn"]
