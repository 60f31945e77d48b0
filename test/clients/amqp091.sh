#!/usr/bin/env bash
# Runs the integration tests of github.com/rabbitmq/amqp091-go, of the version in go.mod, against a running broker:
#   amqp091.sh amqp://guest:guest@127.0.0.1:5672/
# The broker should be a fresh one. What is left out, and why:
excluded=(
	# Drop their connection through the HTTP management API on port 15672, which brokerd does not have.
	'TestConnectionRecovery.*'
	# Raises RabbitMQ's memory alarm with rabbitmqctl.
	TestConnection_Close_WhenMemoryAlarmIsActive
)
set -euo pipefail

export AMQP_URL=${1:?usage: amqp091.sh AMQP_URL}
cd "$(dirname "$0")/../.."
module=$(go list -m -f '{{.Dir}}' github.com/rabbitmq/amqp091-go)
[[ -n $module ]] || {
	echo "github.com/rabbitmq/amqp091-go is not in the module cache" >&2
	exit 1
}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$module/." "$copy"
chmod -R u+w "$copy" # the module cache is read-only
cd "$copy"

# The other files hold unit tests of the client.
tests=$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(t .*/\1/p' integration_test.go connection_test.go | grep -vx TestMain | paste -sd '|')
unwanted=$(
	IFS='|'
	echo "${excluded[*]}"
)
GOFLAGS=-mod=mod GOWORK=off go test -count=1 -timeout 4m -v -tags integration -run "^($tests)\$" -skip "^($unwanted)\$" .
