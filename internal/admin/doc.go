// Package admin serves the gRPC admin API (proto/admin/v1): what an operator sees and changes, on a Unix socket for the
// administrator of the machine and on TCP for the broker's users. internal/node makes it; the clients of the API are brokerctl and
// whatever else an operator runs.
//
// It holds no state of the broker and decides nothing about it: it takes lists from [cluster.Broker.State] and from the server, hands
// changes to the Broker, and turns errors into google.rpc.Status with the field that is wrong. What it does decide is who may do
// what: the table in rules.go names a tag and a vhost rule for each method, and a method that is not in it is refused.
//
// Answers are for the whole cluster. What only a node knows (connections, channels, consumers, the figures of queues) it asks of
// all nodes at once, over the cluster's own network, by the same services with local_only set; nodes that do not answer in time are
// named in the answer. Services for other nodes are [PeerServices]: there the caller is a node, which has
// checked its user.
//
// Nothing here slows the message path: figures are copies that are kept anyway. Streams are bounded: a reader that does not keep up
// is cut off with RESOURCE_EXHAUSTED.
//
// Concurrency: handlers run in goroutines of gRPC and share nothing that changes but what is guarded in its own file.
package admin
