#!/bin/sh
# Makes what docker-compose.yml keeps secret, once: passwords, certificates, keys. Needs openssl,
# htpasswd (Debian: apache2-utils) and `pathway`, or its image.
#
#   deploy/make-secrets.sh [DIRECTORY]
#
# The directory is closed to others. The files in it are not: a container's user is not yours.
# Move ca-key elsewhere, and keep master-key apart from backups of the database.
set -eu
directory=${1:-secrets}
mkdir -m 700 "$directory"
cd "$directory"
umask 077

days=825
password() { openssl rand -hex 24 | tr -d '\n' >"$1"; }

# One authority for all, and a certificate for each server with every name it is called by.
openssl req -x509 -newkey ed25519 -nodes -days $days -subj /CN=care-pathway \
  -keyout ca-key -out ca-certificate 2>/dev/null
certificate() { # NAME SUBJECT_ALTERNATIVE_NAMES
  openssl req -newkey ed25519 -nodes -subj "/CN=$1" -keyout "$1-key" -out "$1-request" 2>/dev/null
  echo "subjectAltName=$2" >"$1-names"
  openssl x509 -req -in "$1-request" -CA ca-certificate -CAkey ca-key -CAcreateserial \
    -days $days -extfile "$1-names" -out "$1-certificate" 2>/dev/null
  rm "$1-request" "$1-names"
}
certificate nats DNS:nats-1,DNS:nats-2,DNS:nats-3,DNS:localhost,IP:127.0.0.1
certificate postgres DNS:postgres,DNS:localhost,IP:127.0.0.1

# The broker learns the passwords' bcrypt hashes alone.
for role in worker operator ehr app notifier auditor; do
  password $role-password
  name=$(echo $role | tr '[:lower:]' '[:upper:]')
  hash=$(htpasswd -niBC 11 $role <$role-password | cut -d: -f2 | tr -d '\n')
  echo "${name}_PASSWORD: \"$hash\"" >>nats-passwords.conf
done
for role in worker operator; do
  login="tls://$role:$(cat $role-password)"
  printf %s "$login@nats-1:4222,$login@nats-2:4222,$login@nats-3:4222" >$role-broker-url
done
echo "JETSTREAM_KEY: \"$(openssl rand -hex 32)\"" >>nats-passwords.conf

password postgres-password
password grafana-password
printf 'postgresql://pathway:%s@postgres:5432/pathway?sslmode=verify-full&sslrootcert=%s' \
  "$(cat postgres-password)" /run/pathway/ca-certificate >database-url

if command -v "${PATHWAY:-pathway}" >/dev/null; then
  "${PATHWAY:-pathway}" keys . >/dev/null
else
  docker run --rm --network none --user "$(id -u):$(id -g)" --volume "$PWD:/keys" \
    --entrypoint pathway care-pathway:0.1.0 keys /keys >/dev/null
fi
mv master.key master-key
mv audit.key audit-key

rm ca-certificate.srl
chmod 644 ./*
chmod 600 ca-key
