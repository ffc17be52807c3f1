# Stands in for the official image of Keycloak where no registry can be reached: its user, folders and entry point.
ARG BASE
FROM ${BASE}
RUN mkdir -p /usr/share/man/man1 && apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/*
COPY --chown=1000:0 keycloak /opt/keycloak
RUN install -d -o 1000 -g 0 /opt/keycloak /opt/keycloak/data
LABEL org.opencontainers.image.title="stand-in"
USER 1000
EXPOSE 8080 9000
ENTRYPOINT ["/opt/keycloak/bin/kc.sh"]
