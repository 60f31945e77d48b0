// Package e2e tests brokerd from outside: it builds the binary, runs it as a process in a temporary directory on a loopback
// port, and speaks AMQP to it with independent clients (amqp091-go, pika, amqplib) or raw frames. It knows flags, the wire and
// /proc, and nothing of the broker's inside, so a test here shows what a user would see.
//
// The tests have the build tag e2e and run with
//
//	go test -tags e2e ./test/e2e/
//
// in a few minutes. Flags after -args: -long for the full sizes, -rounds and -seed for the kill tests, -race-brokerd for a
// broker with the race detector. The tests run one after the other, since most of them measure the process. Those of clusters come
// last and some of them at the same time: each starts its own processes, with links between them that it can cut, hang and slow.
//
// Scripts of other languages are in test/clients. They need Debian's python3-pika, and npm; E2E_PYTHON and E2E_NODE name other
// interpreters, NODE_PATH a place where amqplib is installed already. What is missing skips its test, unless CI=true.
package e2e
