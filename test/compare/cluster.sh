#!/usr/bin/env bash
# One node against three, and brokerd against RabbitMQ as clusters of three on the same machine: queues of the client's own node,
# queues of another node, and one connection that publishes to 100 queues spread over all nodes. Runs alternate, so that a noisy
# machine treats all alike. Prints the medians of the runs.
#
#   test/compare/cluster.sh [RUNS [SECONDS]]     default: 3 runs of 5 seconds a scenario
#
# Needs rabbitmq-server (Debian's package); without it only brokerd is measured. All servers listen on loopback, keep their data in
# a temporary directory, and are ended by their pids.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-3} seconds=${2:-5}
offset=${PORT_OFFSET:-21000}              # of the brokerd cluster: AMQP on 5672+offset and the two ports after it
alone_port=${BROKERD_PORT:-15711}         # of the lone brokerd
rabbit_port=${RABBIT_PORT:-15721}         # of the first RabbitMQ, the others 10 apart

work=$(mktemp -d)
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
	[[ -f $work/epmd.pid ]] && kill "$(cat "$work/epmd.pid")" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

go build -o "$work/" ./cmd/brokerd ./cmd/brokerctl
export BROKERD_LOG_LEVEL=warn
"$work/brokerd" --data-dir "$work/alone" --amqp-listen "127.0.0.1:$alone_port" --cluster-listen "" --http-listen "" >"$work/alone.log" 2>&1 &
pids+=($!)
"$work/brokerd" dev --dir "$work/dev" --port-offset "$offset" >"$work/dev.log" 2>&1 &
pids+=($!)

wait_for() {
	for _ in $(seq 300); do
		(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
		sleep 0.2
	done
	echo "nothing listens on port $1" >&2
	tail -n 5 "$work"/*.log >&2
	exit 70
}

rabbit=$(ls /usr/lib/rabbitmq/bin/rabbitmq-server 2>/dev/null || command -v rabbitmq-server || true)
clusters=(brokerd)
if [[ -n $rabbit ]]; then
	clusters+=(rabbitmq)
	export ERL_EPMD_PORT=$((rabbit_port + 50)) HOME=$work
	epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 >/dev/null 2>&1 &
	echo $! >"$work/epmd.pid"
	for i in 1 2 3; do
		port=$((rabbit_port + 10 * (i - 1)))
		{
			echo "listeners.tcp.default = 127.0.0.1:$port"
			echo "cluster_formation.peer_discovery_backend = classic_config"
			for j in 1 2 3; do echo "cluster_formation.classic_config.nodes.$j = r$j@localhost"; done
		} >"$work/rabbit$i.conf"
		RABBITMQ_NODENAME=r$i@localhost RABBITMQ_MNESIA_BASE=$work/mnesia$i RABBITMQ_LOG_BASE=$work/log$i \
			RABBITMQ_CONFIG_FILE=$work/rabbit$i.conf RABBITMQ_ENABLED_PLUGINS_FILE=$work/plugins \
			RABBITMQ_DIST_PORT=$((port + 5)) RABBITMQ_PID_FILE=$work/rabbit$i.pid "$rabbit" >"$work/rabbit$i.log" 2>&1 &
		pids+=($!)
		wait_for "$port"
	done
fi
wait_for "$alone_port"
for i in 0 1 2; do wait_for $((5672 + offset + i)); done
sleep 2

median() { sort -g | awk '{v[NR]=$1} END {if (NR) print NR%2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2; else print 0}'; }

# uri CLUSTER NODE: nodes count from 1; the lone node is node 1 of the cluster "alone".
uri() {
	local port=$alone_port
	case $1 in
	brokerd) port=$((5672 + offset + $2 - 1)) ;;
	rabbitmq) port=$((rabbit_port + 10 * ($2 - 1))) ;;
	esac
	echo "amqp://guest:guest@127.0.0.1:$port/"
}

rate() { awk '/^received/ {for (i = 1; i < NF; i++) if ($(i+1) == "on") {sub("/s", "", $i); print $i}}'; }
perf() { "$work/brokerctl" perf --no-progress "$@" 2>>"$work/perf.err"; }

# direct CLUSTER QUEUE-NODE CLIENT-NODE FLAG...: a queue of one node, used by clients of another.
direct() {
	local cluster=$1 at=$2 client=$3 q="compare-$2-$3-$RANDOM"
	shift 3
	perf --uri "$(uri "$cluster" "$at")" -u "$q" --durable --keep -x 1 -y 0 -C 1 >/dev/null
	perf --uri "$(uri "$cluster" "$client")" -u "$q" -p --duration "${seconds}s" "$@" | rate
}

# spread CLUSTER FLAG...: 100 queues on all nodes, through one connection to each side of the first node.
spread() {
	local cluster=$1
	shift
	perf --uri "$(uri "$cluster" 1)" --queues 100 -x 100 -y 100 --channels 100 --queue-arg x-queue-master-locator=min-masters \
		--durable --duration "${seconds}s" "$@" | rate
}

# measure NAME: reads lines "COLUMN COMMAND..." and runs them in turn.
measure() {
	local name=$1 lines column rest
	mapfile -t lines
	rm -f "$work"/*.rates
	for _ in $(seq "$runs"); do
		for line in "${lines[@]}"; do
			read -r column rest <<<"$line"
			eval "$rest" >>"$work/$column.rates"
		done
	done
	printf '%-44s' "$name"
	for column in alone brokerd rabbitmq; do
		if [[ -f $work/$column.rates ]]; then printf ' %14.0f' "$(median <"$work/$column.rates")"; else printf ' %14s' -; fi
	done
	printf '\n'
}

lines() { # _ COMMAND: a line for each cluster, whose name replaces @ in COMMAND
	local cluster
	for cluster in "${clusters[@]}"; do echo "$cluster ${2//@/$cluster}"; done
}

transient="-x 1 -y 1 --size 16 --auto-ack"
persistent="-x 1 -y 1 --size 16 --persistent --confirm 1000 --prefetch 1000 --multi-ack 100"
echo "$(nproc) cores, $runs runs of $seconds s, received messages/s (median)"
printf '%-44s %14s %14s %14s\n' scenario "one brokerd" "three brokerd" "three RabbitMQ"
{ echo "alone direct alone 1 1 $transient"; lines x "direct @ 1 1 $transient"; } | measure "transient, own node"
lines x "direct @ 1 2 $transient" | measure "transient, another node"
{ echo "alone direct alone 1 1 $persistent"; lines x "direct @ 1 1 $persistent"; } | measure "persistent with confirms, own node"
lines x "direct @ 1 2 $persistent" | measure "persistent with confirms, another node"
{ echo "alone spread alone --size 16 --auto-ack"; lines x "spread @ --size 16 --auto-ack"; } | measure "transient, 100 queues, one connection"
{ echo "alone spread alone --size 16 --persistent --confirm 100 --prefetch 100 --multi-ack 10"
	lines x "spread @ --size 16 --persistent --confirm 100 --prefetch 100 --multi-ack 10"; } | measure "persistent with confirms, 100 queues"
