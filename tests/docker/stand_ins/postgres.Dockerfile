# In place of PostgreSQL's image, where no registry is: Debian's server behind an entry point that
# does what the page of the image says of its own.
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE}
RUN groupadd --gid 999 postgres \
 && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \
 && apt-get update \
 && apt-get install --yes --no-install-recommends postgresql-15 \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
 && install --directory --owner=999 --group=999 /var/lib/postgresql/data \
 && install --directory --owner=999 --group=999 --mode=3777 /run/postgresql
COPY postgres_entry.sh /usr/local/bin/
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PGDATA=/var/lib/postgresql/data
ENTRYPOINT ["bash", "/usr/local/bin/postgres_entry.sh"]
CMD ["postgres"]
