// Package http is the node's HTTP listener: metrics for Prometheus, health for load balancers and orchestrators, and profiles for
// administrators. It changes nothing in the broker.
//
// internal/node starts a [Server] before anything else, so that health can be asked while the node starts, and closes it last.
package http
