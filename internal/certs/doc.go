// Package certs is about TLS certificates in files: [Source] serves those of a listener and reloads them when they change, and
// [Create] makes a certificate authority and certificates for the nodes of a test cluster.
//
// internal/node gives a Source to the listeners; brokerctl calls Create. The package knows nothing of AMQP or HTTP. A Source is
// safe for concurrent use and has no goroutine: it looks at its files when a client comes.
package certs
