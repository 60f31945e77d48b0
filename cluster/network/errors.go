package network

import "errors"

// Why two nodes do not get together. Both sides get the same one, wrapped in a text that names what differs.
var (
	ErrWrongSecret    = errors.New("wrong cluster secret")   // cluster.secret differs, is missing on one side, or somebody interfered
	ErrTLS            = errors.New("cluster TLS")            // cluster.tls on one side only, or a certificate is not accepted
	ErrForeignCluster = errors.New("foreign cluster")        // both are in a cluster, and not in the same
	ErrVersion        = errors.New("incompatible version")   // no protocol that both speak
	ErrWrongNode      = errors.New("wrong node")             // another node than the one that was meant
	ErrSelf           = errors.New("connection to itself")   // the other end has this node's own id
	ErrNotReady       = errors.New("not ready")              // the node does not take this kind of stream at present
	ErrBusy           = errors.New("too many connections")   // a bound of the node that was called
	ErrHandshake      = errors.New("cluster handshake")      // garbage, silence, or something else than a brokerd
	ErrUnknownNode    = errors.New("node of no address")     // nobody has said where it is
	ErrInsecure       = errors.New("no authentication")      // neither secret nor TLS, and not on a loopback address
	ErrClosed         = errors.New("cluster network closed") // after Close
	ErrOption         = errors.New("cluster network option") // an option of Listen that cannot be
)
