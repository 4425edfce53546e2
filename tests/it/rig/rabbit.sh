#!/bin/sh
# Becomes a RabbitMQ node that lives in DIRECTORY and listens on 127.0.0.1:PORT, with nothing shared with any other:
#
#   rabbit.sh DIRECTORY PORT VHOSTS [LINE OF rabbitmq.conf | -ERLANG ARGUMENT...]
#
# It has the virtual host `/`, VHOSTS more by the names `t0`, `t1`, … (for tests that share the node: the names in them
# are fixed by the contract), the user guest, and the consistent-hash exchange. It neither listens for other Erlang nodes nor
# starts or asks epmd, a daemon that would outlive it; so rabbitmqctl cannot reach it: look at it by AMQP. Unless
# RIG_NODE, RIG_EPMD and RIG_DIST name it, the port of the test's own epmd and its port for other nodes: then it is one of a
# cluster (tests/it/rig/cluster.rs). Starting again in the same DIRECTORY keeps the data. Ready when it has printed "Server
# startup complete".
set -eu
directory=$1
port=$2
vhosts=$3
shift 3

# Debian's wrapper on the PATH insists on its own user and directories; what it calls does not.
server=/usr/lib/rabbitmq/bin/rabbitmq-server
[ -x "$server" ] || server=$(command -v rabbitmq-server)

cd "$directory"
cat >rabbitmq.conf <<END
listeners.tcp.1 = 127.0.0.1:$port
num_acceptors.tcp = 2
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
log.file = false
load_definitions = $directory/definitions.json
END
arguments='+S 1:1'
for line in "$@"; do
    case "$line" in
        -*) arguments="$arguments $line" ;;
        *) echo "$line" >>rabbitmq.conf ;;
    esac
done

{
    hosts='{"name":"/"}'
    permissions='{"user":"guest","vhost":"/","configure":".*","write":".*","read":".*"}'
    i=0
    while [ "$i" -lt "$vhosts" ]; do
        hosts="$hosts,{\"name\":\"t$i\"}"
        permissions="$permissions,{\"user\":\"guest\",\"vhost\":\"t$i\",\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}"
        i=$((i + 1))
    done
    echo "{\"users\":[{\"name\":\"guest\",\"password\":\"guest\",\"tags\":\"administrator\"}],"
    echo "\"vhosts\":[$hosts],\"permissions\":[$permissions]}"
} >definitions.json
echo '[rabbitmq_consistent_hash_exchange].' >plugins
: >env.conf

node=${RIG_NODE:-rig}@localhost
if [ -n "${RIG_EPMD:-}" ]; then
    arguments="$arguments -start_epmd false -setcookie rig -kernel inet_dist_use_interface {127,0,0,1}"
else
    # -dist_listen and -start_epmd: no Erlang port and no daemon. -erl_epmd_port: the node asks for its own port once, at
    # the start; a fixed answer keeps it from looking for an epmd.
    arguments="$arguments -dist_listen false -start_epmd false -erl_epmd_port 1"
fi

exec env -i PATH="$PATH" HOME="$directory" LANG=C.UTF-8 \
    ERL_EPMD_PORT="${RIG_EPMD:-1}" \
    ERL_FLAGS="-start_epmd false" \
    RABBITMQ_DIST_PORT="${RIG_DIST:-1}" \
    RABBITMQ_NODENAME="$node" \
    RABBITMQ_CONF_ENV_FILE="$directory/env.conf" \
    RABBITMQ_CONFIG_FILE="$directory/rabbitmq.conf" \
    RABBITMQ_ADVANCED_CONFIG_FILE="$directory/advanced.config" \
    RABBITMQ_GENERATED_CONFIG_DIR="$directory/generated" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$directory/plugins" \
    RABBITMQ_MNESIA_BASE="$directory/data" \
    RABBITMQ_LOG_BASE="$directory/logs" \
    RABBITMQ_PID_FILE="$directory/pid" \
    RABBITMQ_ALLOW_INPUT=1 \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-sname $node $arguments" \
    "$server" -noinput
