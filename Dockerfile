# The image of node, setup, load and console: compose.yaml chooses the command. By default it runs a node.
FROM python:3.13-slim

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

# A volume that is mounted at one of these for the first time takes its owner from here.
RUN groupadd --gid 10001 app \
 && useradd --uid 10001 --gid app --no-create-home --home-dir /app --shell /usr/sbin/nologin app \
 && install -d -o app -g app -m 755 /cluster /cluster/node /cluster/express /cluster/store /cluster/database \
      /cluster/proxy /cluster/tls /cluster/users /cluster/sessions /cluster/servers /cluster/sentinels /cluster/operator \
      /cluster/console

COPY deploy deploy
COPY proxy proxy
COPY nodes nodes
COPY loadtest loadtest
COPY pyproject.toml session_cluster.py ./
# The file system is read-only at run time, so Python's bytecode is written here.
RUN python -m compileall -q .

USER app
ENV NODE_BIND=0.0.0.0:8000
EXPOSE 8000
CMD ["python", "-m", "gunicorn", "-c", "nodes/gunicorn.conf.py", "nodes.app:from_environ()"]
