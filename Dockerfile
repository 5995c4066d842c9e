# One image for all functions: Cloud Run, Fly or own servers. docs/how-to/deploy.md says how to run it.
# It starts functions-framework as Google's build does; FUNCTION_TARGET=progress serves one function.
FROM python:3.12-slim-bookworm AS packages
COPY requirements.txt /tmp/requirements.txt
# Wheels only: what would have to be compiled here is a mistake.
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --only-binary :all: --requirement /tmp/requirements.txt \
 && /venv/bin/pip uninstall --yes pip \
 && /venv/bin/python -m compileall -q /venv/lib

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin waymark
COPY --from=packages /venv /venv
WORKDIR /app
COPY main.py ./
COPY functions functions
COPY shared shared
RUN python -m compileall -q .

ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FUNCTION_TARGET=waymark \
    PORT=8080
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=4)"]
CMD ["functions-framework"]
