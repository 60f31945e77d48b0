package conformance

import (
	"fmt"
	"time"

	"github.com/brokerd/brokerd/internal/config"
)

// mortal is a node that is restarted while a case runs.
var mortal = &nodeSpec{name: "restart"}

// revive restarts the node in order. Its clients are told; the script sees it.
func revive(r *run) error {
	if err := mortal.halt(); err != nil {
		return err
	}
	_, err := mortal.start()
	return err
}

var reviving = map[string]func(*run) error{"restart": revive}

// restartCases are about what a restart leaves.
var restartCases = []conformanceCase{
	{id: "R420", about: "clients are told of the shutdown", on: mortal, do: reviving, script: `
		> channel.flow active
		< channel.flow-ok active
		do restart
		0< connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0,0)
		0< EOF`},
	{id: "R421", about: "durable queues and exchanges, persistent messages and acknowledgements survive, what is transient does not", on: mortal, do: reviving, script: `
		> queue.declare queue=xd durable
		< queue.declare-ok queue=xd
		> queue.declare queue=xt
		< queue.declare-ok queue=xt
		> exchange.declare exchange=exd type=fanout durable
		< exchange.declare-ok
		> exchange.declare exchange=ext type=fanout
		< exchange.declare-ok
		> queue.bind queue=xd exchange=exd
		< queue.bind-ok
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=xd @a=1 delivery-mode=2 expiration=600000 body=persistent
		< basic.ack delivery-tag=1
		> basic.publish routing-key=xd delivery-mode=1 body=transient
		< basic.ack delivery-tag=2
		> basic.publish routing-key=xd delivery-mode=2 body=acked
		< basic.ack delivery-tag=3
		> basic.publish routing-key=xd delivery-mode=2 body=unacked
		< basic.ack delivery-tag=4
		> basic.get queue=xd
		< basic.get-ok delivery-tag=1 routing-key=xd message-count=3 headers={a:1I} delivery-mode=2 expiration=600000 body=persistent
		> basic.get queue=xd
		< basic.get-ok delivery-tag=2 routing-key=xd message-count=2 delivery-mode=1 body=transient
		> basic.get queue=xd
		< basic.get-ok delivery-tag=3 routing-key=xd message-count=1 delivery-mode=2 body=acked
		> basic.ack delivery-tag=3
		> basic.qos
		< basic.qos-ok
		do restart
		b> basic.get queue=xd no-ack
		b< basic.get-ok delivery-tag=1 redelivered routing-key=xd message-count=1 headers={a:1I} delivery-mode=2 expiration=600000 body=persistent
		b> basic.get queue=xd no-ack
		b< basic.get-ok delivery-tag=2 … body=unacked
		b> basic.get queue=xd no-ack
		b< basic.get-empty
		b> exchange.declare exchange=exd passive
		b< exchange.declare-ok
		b> basic.publish exchange=exd mandatory body=x
		b> basic.get queue=xd no-ack
		b< basic.get-ok delivery-tag=3 exchange=exd body=x
		b> exchange.declare exchange=ext passive
		b< channel.close 404 NOT_FOUND - no exchange 'ext' in vhost '/' (40,10)
		b2> queue.declare queue=xt passive
		b2< channel.close 404 NOT_FOUND - no queue 'xt' in vhost '/' (50,10)`},
	{id: "S11.10", about: "redelivered is right after a restart", on: mortal, do: reviving, script: `
		> queue.declare queue=xd durable
		< queue.declare-ok queue=xd
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=xd delivery-mode=2 body=x
		< basic.ack delivery-tag=1
		> basic.get queue=xd
		< basic.get-ok delivery-tag=1 routing-key=xd delivery-mode=2 body=x
		do restart
		b> basic.get queue=xd no-ack
		b< basic.get-ok delivery-tag=1 redelivered routing-key=xd delivery-mode=2 body=x`},
	{id: "S7.4b", about: "the deaths of a message survive a restart", on: mortal, do: reviving, script: `
		> queue.declare queue=xdl durable
		< queue.declare-ok queue=xdl
		> queue.declare queue=xs durable @x-dead-letter-exchange='' @x-dead-letter-routing-key='xdl'
		< queue.declare-ok queue=xs
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=xs delivery-mode=2 body=x
		< basic.ack delivery-tag=1
		> basic.get queue=xs
		< basic.get-ok delivery-tag=1 routing-key=xs delivery-mode=2 body=x
		> basic.reject delivery-tag=1
		~> queue.declare queue=xdl passive
		< queue.declare-ok queue=xdl message-count=1
		do restart
		b> basic.get queue=xdl no-ack
		b< basic.get-ok delivery-tag=1 routing-key=xdl headers={x-death:[{count:1l,reason:"rejected",queue:"xs",…delivery-mode=2 body=x`},
	{id: "S3.16e", about: "a delay survives a restart", on: mortal, do: reviving, script: `
		> exchange.declare exchange=xdelay type=x-delayed-message durable @x-delayed-type='direct'
		< exchange.declare-ok
		> queue.declare queue=xd durable
		< queue.declare-ok queue=xd
		> queue.bind queue=xd exchange=xdelay routing-key=k
		< queue.bind-ok
		> confirm.select
		< confirm.select-ok
		> basic.publish exchange=xdelay routing-key=k delivery-mode=2 @x-delay=1000 body=x
		< basic.ack delivery-tag=1
		do restart
		~b> basic.get queue=xd no-ack
		b< basic.get-ok … body=x`},
}

// strict nodes allow little.
var strict = &nodeSpec{name: "strict", adjust: func(cfg *config.Config) {
	cfg.AMQP.MaxConnections = 2
	cfg.AMQP.MaxMessageSize = 1000
	cfg.AMQP.ConsumerTimeout = time.Second
}}

// limitCases are about what a node limits.
var limitCases = []conformanceCase{
	{id: "S1.14a", about: "the connection limit of a node", on: strict, script: `
		connect b
		b0< connection.open-ok
		connect c
		c0< connection.open-ok
		connect d
		d0< connection.close 530 NOT_ALLOWED - connection refused: node connection limit (2) is reached (10,40)`},
	{id: "S6.9a", about: "a message of the largest size", on: strict, script: `
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=nowhere body=x*1000
		< basic.ack delivery-tag=1`},
	{id: "S6.9b", about: "a message that is larger; the connection goes on", on: strict, script: `
		> basic.publish routing-key=nowhere body=x*1001
		< channel.close 406 PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 (60,40)
		2> basic.qos
		2< basic.qos-ok`},
	{id: "S9.1a", about: "the size is checked before all else", on: strict, script: `
		> basic.publish exchange=missing body=x*1001
		< channel.close 406 PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 (60,40)`},
	{id: "S11.18a", about: "a consumer that does not acknowledge in time loses its channel", on: strict, script: `
		> queue.declare queue=q
		< queue.declare-ok queue=q
		> basic.publish routing-key=q body=x
		> basic.consume queue=q consumer-tag=t
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=q body=x
		< channel.close 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1000 ms. This timeout value can be configured, see consumers doc guide to learn more (0,0)
		2> basic.get queue=q no-ack
		2< basic.get-ok delivery-tag=1 redelivered routing-key=q body=x`},
	{id: "S1.14b", about: "the connection limit of a vhost", prepare: vhostLimit("max-connections", 0), script: `
		connect b
		b0< connection.close 530 NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (0) is reached (10,40)`},
	{id: "S2.1a", about: "the channel limit of a user", prepare: userLimit("max-channels", 1), script: `
		connect b user=conf password=secret
		b0< connection.open-ok
		b1> channel.open
		b1< channel.open-ok
		b2> channel.open
		b0< connection.close 530 NOT_ALLOWED - number of channels opened for user 'conf' has reached the maximum allowed user limit of 1 (20,10)`},
	{id: "S1.17", about: "a user is deleted under its connection", prepare: user(".*", ".*", ".*"), do: map[string]func(*run) error{
		"delete": func(r *run) error {
			b := r.target.broker
			return fmtError("deleting the user", b.DeleteUser(background(r.t), "conf"))
		},
	}, script: `
		connect b user=conf password=secret
		b0< connection.open-ok
		do delete
		b0< connection.close 320 CONNECTION_FORCED - user 'conf' is deleted (0,0)`},
	{id: "R418", about: "a vhost is deleted under its connection", prepare: putVHost("xv"), do: map[string]func(*run) error{
		"delete": func(r *run) error {
			return fmtError("deleting the vhost", r.target.broker.DeleteVHost(background(r.t), "xv"))
		},
	}, script: `
		connect b vhost=xv
		b0< connection.open-ok
		do delete
		b0< connection.close 320 CONNECTION_FORCED - vhost 'xv' is deleted (0,0)
		connect c vhost=xv
		c0< connection.close 530 NOT_ALLOWED - vhost xv not found (10,40)`},
}

func fmtError(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
