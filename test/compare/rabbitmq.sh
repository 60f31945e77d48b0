#!/usr/bin/env bash
# brokerd and RabbitMQ side by side: the same load generator, the same machine, one scenario after the other in turn, so that a
# noisy machine treats both alike. Prints the medians of the runs and their ratio.
#
#   test/compare/rabbitmq.sh [RUNS [SECONDS]]     default: 3 runs of 5 seconds a scenario
#
# Needs rabbitmq-server (Debian's package) in the PATH. All servers listen on loopback, keep their data in a temporary
# directory, and are ended by their pids.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-3} seconds=${2:-5}
brokerd_port=${BROKERD_PORT:-15701} rabbit_port=${RABBIT_PORT:-15702}

work=$(mktemp -d)
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
	[[ -f $work/epmd.pid ]] && kill "$(cat "$work/epmd.pid")" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT

go build -o "$work/brokerd" ./cmd/brokerd
go build -o "$work/brokerctl" ./cmd/brokerctl

"$work/brokerd" --data-dir "$work/data" --amqp-listen "127.0.0.1:$brokerd_port" --http-listen "" --log-level warn >"$work/brokerd.log" 2>&1 &
pids+=($!)

command -v rabbitmq-server >/dev/null || { echo "rabbitmq-server is not installed" >&2; exit 69; }
epmd_port=$((rabbit_port + 1))
export ERL_EPMD_PORT=$epmd_port HOME=$work
epmd -port "$epmd_port" -address 127.0.0.1 >/dev/null 2>&1 &
echo $! >"$work/epmd.pid"
echo "listeners.tcp.default = 127.0.0.1:$rabbit_port" >"$work/rabbitmq.conf"
RABBITMQ_NODENAME=compare@localhost RABBITMQ_MNESIA_BASE=$work/mnesia RABBITMQ_LOG_BASE=$work/log \
	RABBITMQ_CONFIG_FILE=$work/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$work/plugins \
	RABBITMQ_DIST_PORT=$((rabbit_port + 2)) RABBITMQ_PID_FILE=$work/rabbit.pid \
	"$(ls /usr/lib/rabbitmq/bin/rabbitmq-server 2>/dev/null || command -v rabbitmq-server)" >"$work/rabbit.log" 2>&1 &
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
wait_for "$brokerd_port"
wait_for "$rabbit_port"
sleep 2

median() { sort -g | awk '{v[NR]=$1} END {print NR%2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

# measure NAME FLAG...: both brokers in turn. The rate is that of received messages.
measure() {
	local name=$1 port broker
	shift
	: >"$work/brokerd.rates" >"$work/rabbitmq.rates"
	for _ in $(seq "$runs"); do
		for broker in brokerd rabbitmq; do
			port=$brokerd_port
			[[ $broker == rabbitmq ]] && port=$rabbit_port
			"$work/brokerctl" perf --uri "amqp://guest:guest@127.0.0.1:$port/" --duration "${seconds}s" --no-progress \
				"$@" 2>>"$work/perf.err" | awk '/^received/ {for (i = 1; i < NF; i++) if ($(i+1) == "on") {sub("/s", "", $i); print $i}}' \
				>>"$work/$broker.rates"
		done
	done
	local b r
	b=$(median <"$work/brokerd.rates")
	r=$(median <"$work/rabbitmq.rates")
	awk -v n="$name" -v b="$b" -v r="$r" 'BEGIN {printf "%-58s %12d %12d %8.1fx\n", n, b, r, b / r}'
}

echo "RabbitMQ $(dpkg-query -W -f '${Version}' rabbitmq-server 2>/dev/null || echo '?'), $(nproc) cores, $runs runs of $seconds s, received messages/s (median)"
printf '%-58s %12s %12s %9s\n' scenario brokerd RabbitMQ ratio
measure "transient, 16 B, 1:1:1, auto-ack" -x 1 -y 1 --size 16 --auto-ack
measure "transient, 16 B, 1:1:1, prefetch 1000, acks" -x 1 -y 1 --size 16 --prefetch 1000 --multi-ack 100
measure "persistent, 16 B, confirms, window 1000" -x 1 -y 1 --size 16 --persistent --confirm 1000 --prefetch 1000 --multi-ack 100
measure "persistent, 1 KiB, confirms, window 1000" -x 1 -y 1 --size 1024 --persistent --confirm 1000 --prefetch 1000 --multi-ack 100
measure "persistent, 1 KiB, confirms, 4 producers, 4 queues" -x 4 -y 4 --queues 4 --size 1024 --persistent --confirm 1000 --prefetch 1000 --multi-ack 100
measure "transient, 1 MiB bodies, auto-ack" -x 1 -y 1 --size 1048576 --auto-ack
