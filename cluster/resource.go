package cluster

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// resource is an exchange or a queue as reply texts name it.
type resource struct {
	kind  string
	name  string
	vhost string
}

const (
	kindExchange = "exchange"
	kindQueue    = "queue"
)

func (r resource) String() string { return r.kind + " '" + r.name + "' in vhost '" + r.vhost + "'" }

// reservedPrefix starts the names that only the broker gives.
const reservedPrefix = "amq."

// reserved says whether a name is for the broker to give.
func reserved(name string) bool { return strings.HasPrefix(name, reservedPrefix) }

// replyToPrefix starts the names of volatile queues (direct reply-to), which cannot be bound.
const replyToPrefix = "amq.rabbitmq.reply-to."

// generatedPrefix starts the names of queues that were declared without one.
const generatedPrefix = "amq.gen"

// maxNamePrefix bounds the argument x-name-prefix in bytes.
const maxNamePrefix = 64

// lineBreaks removes what RabbitMQ strips from the names of exchanges and queues.
var lineBreaks = strings.NewReplacer("\r", "", "\n", "")

func cleanName(name string) string {
	if strings.ContainsAny(name, "\r\n") {
		return lineBreaks.Replace(name)
	}
	return name
}

// generateName makes a queue name that was never used before: prefix, a hyphen, and 128 random bits.
func generateName(prefix string) string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return prefix + "-" + base64.RawURLEncoding.EncodeToString(id[:])
}
