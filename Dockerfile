# Chronovox and Ray, for nodes of a cluster and for machines alone:
#   docker build -t chronovox .                        for CPUs
#   docker build -t chronovox --build-arg TORCH=cuNNN . for GPUs: NNN as PyTorch's site names the CUDA of its wheels
# PYTHON must be that of those who submit to the cluster, in its first two numbers.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

# wget: what KubeRay asks a node with whether it lives.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/*

# Into Python's own folder, which login shells find too: KubeRay starts Ray in one.
ARG TORCH=cpu
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/${TORCH} "torch>=2.13,<2.14"

WORKDIR /opt/chronovox
COPY pyproject.toml README.md LICENSE ./
COPY ssm_ops ssm_ops
COPY pipeline pipeline
COPY cluster cluster
COPY workflows workflows
RUN pip install --no-cache-dir ".[fast,grib,remote,medical,video,microscopy,images]"

RUN useradd --create-home --uid 1000 chronovox
USER chronovox
WORKDIR /home/chronovox
ENV RAY_USAGE_STATS_ENABLED=0
ENTRYPOINT ["chronovox"]
CMD ["--help"]
