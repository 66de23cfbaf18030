# Two images, by target: `node` for nodes and setup, and `load`, which adds the load generator and the console. By default
# each runs a node; compose.yaml chooses the command.
#
#   docker build --target node --build-arg VERSION=0.2.0 --build-arg REVISION="$(git rev-parse HEAD)" --tag NAME .
#
# `node` comes before `load`, because the engine's own builder (without BuildKit) builds every stage up to its target.
FROM python:3.13-slim AS packages

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /app

# A change of the code must not install everything again, so this comes before the code. The packages of the base image
# must stay as they are, so there is a separate environment.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-deps --require-hashes -r requirements.lock
ENV PATH=/opt/venv/bin:$PATH
# The official image has no bytecode of the standard library, so each process would compile 159 modules of it at its
# start: measured 0.7 s of CPU.
RUN python -m compileall -q -x site-packages "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# A volume that is mounted at one of these for the first time takes its owner from here.
RUN groupadd --gid 10001 app \
 && useradd --uid 10001 --gid app --no-create-home --home-dir /app --shell /usr/sbin/nologin app \
 && install -d -o app -g app -m 755 /cluster /cluster/node /cluster/express /cluster/store /cluster/database \
      /cluster/proxy /cluster/tls /cluster/users /cluster/sessions /cluster/servers /cluster/sentinels /cluster/operator \
      /cluster/console

ENV NODE_BIND=0.0.0.0:8000
EXPOSE 8000
CMD ["python", "-m", "gunicorn", "-c", "nodes/gunicorn.conf.py", "nodes.app:from_environ()"]


FROM packages AS node

COPY deploy deploy
COPY proxy proxy
COPY nodes nodes
# The file system is read-only at run time, so Python's bytecode is written here.
RUN python -m compileall -q .

# Kubernetes compares numbers (runAsNonRoot) and knows no names of an image.
USER 10001:10001
# Last, because each commit has another revision.
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Session Cluster: node" \
      org.opencontainers.image.description="A stateless Flask node that keeps its sessions in a shared store" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"


FROM packages AS load-packages

COPY requirements-load.lock ./
RUN pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-deps --require-hashes -r requirements-load.lock


FROM load-packages AS load

COPY --from=node /app /app
COPY loadtest loadtest
COPY pyproject.toml session_cluster.py ./
RUN python -m compileall -q .

USER 10001:10001
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Session Cluster: load" \
      org.opencontainers.image.description="Locust, the load generator, and the console of Session Cluster" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
