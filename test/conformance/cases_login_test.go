package conformance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/internal/config"
)

// greeting opens the socket b and goes as far as connection.start.
const greeting script = `
	dial b
	b> raw 414d515000000901
	b0< connection.start …`

// plainOK is the answer to connection.start of whoever may log in.
const plainOK script = `
	b0> connection.start-ok mechanism=PLAIN response='\x00guest\x00guest'
	b0< connection.tune channel-max=2047 frame-max=131072 heartbeat=60`

// loginCases are about connection.start and its answer. What is refused without a word is refused after a pause.
var loginCases = []conformanceCase{
	{id: "S1.4", about: "the server properties that clients read", script: `
		dial b
		b> raw 414d515000000901
		b0< connection.start version-minor=9 server-properties={…cluster_name:"…"…platform:"…"…product:"RabbitMQ"…version:"…"…} mechanisms=…PLAIN… locales=en_US`},
	{id: "S1.5", about: "the capabilities", script: `
		dial b
		b> raw 414d515000000901
		b0< connection.start version-minor=9 server-properties={capabilities:{publisher_confirms:true,exchange_exchange_bindings:true,basic.nack:true,consumer_cancel_notify:true,connection.blocked:true,consumer_priorities:true,authentication_failure_close:true,per_consumer_qos:true,direct_reply_to:true},…`},
	{id: "R2", about: "what the broker offers in connection.tune", script: greeting + plainOK},
	{id: "R3", about: "connection.open-ok, connection.close", script: `
		connect b
		b0< connection.open-ok
		b0> connection.close reply-code=200 reply-text=bye
		b0< connection.close-ok`},
	{id: "R4", about: "header of AMQP 0-9", script: `
		dial b
		b> raw 414d515001010009
		b0< connection.start version-minor=9 server-properties={capabilities:{publisher_confirms:true,…`},
	{id: "S1.2", about: "TLS on the plain port", alone: true, script: headerScript("1603010200010001")},
	refusedLogin("R17", "unknown mechanism", "FOO", `\x00guest\x00guest`, "b0< EOF"),
	refusedLogin("R18", "mechanism EXTERNAL", "EXTERNAL", "", "b0< EOF"),
	refusedLogin("R19", "mechanism ANONYMOUS", "ANONYMOUS", "", "b0< EOF"),
	refusedLogin("R20", "mechanism AMQPLAIN, right password", "AMQPLAIN",
		`\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest`,
		"b0< connection.tune channel-max=2047 frame-max=131072 heartbeat=60"),
	refusedLogin("R21", "mechanism AMQPLAIN, wrong password", "AMQPLAIN",
		`\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x02no`,
		"b0< connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile. (0,0)"),
	refusedLogin("R22", "mechanism AMQPLAIN, empty response", "AMQPLAIN", "", "b0< EOF"),
	refusedLogin("R23", "mechanism PLAIN, response without NULs", "PLAIN", "guest", "b0< EOF"),
	refusedLogin("R24", "mechanism RABBIT-CR-DEMO", "RABBIT-CR-DEMO", "guest", "b0< EOF"),
	{id: "S1.8", about: "mechanism PLAIN with an authorization identity", script: greeting + `
		b0> connection.start-ok mechanism=PLAIN response='guest\x00guest\x00guest'
		b0< connection.tune …`},
	{id: "S1.11", about: "a token that is longer than 4096 bytes gets through", alone: true, script: greeting + `
		b0> connection.start-ok mechanism=PLAIN response='\x00guest\x00` + script(strings.Repeat("x", 7000)) + `'
		b0< connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (0,0)`},
	{id: "S1.7", about: "a client may name its connection", script: greeting + `
		b0> connection.start-ok mechanism=PLAIN response='\x00guest\x00guest' @connection_name=me
		b0< connection.tune …`},
	{id: "S0.8", about: "what fails before the login is not answered", alone: true, script: greeting + `
		b0> connection.tune-ok channel-max=10 frame-max=131072
		b0< EOF`},
	{id: "R37", about: "channel.open before connection.open", script: greeting + plainOK + `
		b0> connection.tune-ok channel-max=2047 frame-max=131072
		b1> channel.open
		b0< connection.close 505 UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>> (0,0)`},
	{id: "R36", about: "connection.open before tune-ok", alone: true, script: greeting + plainOK + `
		b0> connection.open virtual-host=/
		b0< EOF`},
	{id: "R39", about: "all of the client's handshake at once", do: map[string]func(*run) error{"handshake": func(r *run) error {
		b := []byte(wire.ProtocolHeader)
		b = wire.AppendMethod(b, 0, &wire.ConnectionStartOk{
			ClientProperties: clientProperties, Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest"), Locale: "en_US",
		})
		b = wire.AppendMethod(b, 0, &wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072})
		b = wire.AppendMethod(b, 0, &wire.ConnectionOpen{VirtualHost: "/"})
		return r.clients["b"].write(wire.AppendMethod(b, 1, &wire.ChannelOpen{}))
	}}, script: `
		dial b
		do handshake
		b0< connection.start …
		b0< connection.tune channel-max=2047 frame-max=131072 heartbeat=60
		b0< connection.open-ok
		b1< channel.open-ok`},
	{id: "S1.16", about: "a secret is not asked for again of those that do not expire", script: `
		connect b
		b0< connection.open-ok
		b0> connection.update-secret new-secret=wrong reason=r
		b0< connection.update-secret-ok`},
	{id: "S1.20", about: "a vhost name is taken as it is", script: `
		connect b vhost=//
		b0< connection.close 530 NOT_ALLOWED - vhost // not found (10,40)`},
}

func refusedLogin(id, about, mechanism, response, answer string) conformanceCase {
	return conformanceCase{id: id, about: about, alone: true, script: greeting + script(
		"\nb0> connection.start-ok mechanism="+mechanism+" response='"+response+"'\n"+answer)}
}

// tuneCases are about connection.tune-ok. What goes beyond the offer is refused without a word.
var tuneCases = []conformanceCase{
	tuned("R27", "no limits wanted", "", "b0< EOF"),
	tuned("R28", "channel_max above the offer", "channel-max=4000 frame-max=131072", "b0< EOF"),
	tuned("R29", "frame_max above the offer", "channel-max=2047 frame-max=200000", "b0< EOF"),
	tuned("R30", "frame_max below 4096", "channel-max=2047 frame-max=4095", "b0< EOF"),
	tuned("R31", "frame_max of 4096", "channel-max=2047 frame-max=4096", "b0< connection.open-ok"),
	tuned("R32", "the number of a channel may be above channel_max", "channel-max=1 frame-max=131072",
		"b0< connection.open-ok\nb2047> channel.open\nb2047< channel.open-ok"),
	tuned("R33", "channel 11 with channel_max 10", "channel-max=10 frame-max=131072", "b0< connection.open-ok\nb11> channel.open\nb11< channel.open-ok"),
	tuned("R34", "channel 10 with channel_max 10", "channel-max=10 frame-max=131072", "b0< connection.open-ok\nb10> channel.open\nb10< channel.open-ok"),
	tuned("R35", "more channels than channel_max", "channel-max=2 frame-max=131072", `b0< connection.open-ok
		b1> channel.open
		b1< channel.open-ok
		b2> channel.open
		b2< channel.open-ok
		b3> channel.open
		b0< connection.close 530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2) (0,0)`),
	tuned("S1.12", "bodies are cut to the frame_max of the client", "channel-max=10 frame-max=4096", `b0< connection.open-ok
		b1> channel.open
		b1< channel.open-ok
		b> queue.declare queue=q exclusive
		b< queue.declare-ok queue=q
		b> raw 0100010000000a003c0028000000017100ce 0200010000000e003c000000000000000013880000ce 03000100000ff8 78*4088 ce 03000100000390 78*912 ce
		b> basic.get queue=q no-ack
		b< basic.get-ok delivery-tag=1 routing-key=q body=xxx…
		do sizes`),
}

func tuned(id, about, fields, answer string) conformanceCase {
	return conformanceCase{id: id, about: about, alone: strings.HasSuffix(answer, eof), script: greeting + plainOK + script(
		"\nb0> connection.tune-ok "+fields+"\nb0> connection.open virtual-host=/\n"+answer),
		do: map[string]func(*run) error{"sizes": func(r *run) error { return expectSizes(r.clients["b"], 4088, 912) }}}
}

// expectSizes checks how a body was cut into frames.
func expectSizes(c *client, want ...int) error {
	if fmt.Sprint(c.bodies) != fmt.Sprint(want) {
		return fmt.Errorf("expected body frames of %v bytes, got %v", want, c.bodies)
	}
	return nil
}

// impatient nodes give a client little time to log in.
var impatient = &nodeSpec{name: "impatient", adjust: func(cfg *config.Config) { cfg.AMQP.HandshakeTimeout = 300 * time.Millisecond }}

// waitingCases are about what happens when nothing does: heartbeats and time limits.
var waitingCases = []conformanceCase{
	{id: "R12", about: "half a header, then silence", on: impatient, script: `
		dial b
		b> raw 414d515000
		b0< EOF`},
	{id: "R13", about: "silence after connection.start", on: impatient, script: greeting + `
		b0< EOF`},
	{id: "S1.15", about: "silence after connection.tune-ok", on: impatient, script: greeting + plainOK + `
		b0> connection.tune-ok channel-max=2047 frame-max=131072
		b0< EOF`},
	{id: "R42", about: "a silent client with heartbeats is cut without a word", alone: true, script: `
		connect b heartbeat=1
		b0< connection.open-ok
		hear b
		do end`, do: map[string]func(*run) error{"end": func(r *run) error {
		for n := 0; ; n++ {
			switch got := r.clients["b"].next(0); {
			case got == "heartbeat":
			case got == eof && n > 0:
				return nil
			default:
				return fmt.Errorf("expected heartbeats and the end, got %d and %s", n, got)
			}
		}
	}}},
	{id: "R43", about: "a client that sends heartbeats, and nothing else, stays", alone: true, script: `
		connect b heartbeat=1
		b0< connection.open-ok
		hear b
		do converse
		b1> channel.open
		b1< channel.open-ok`, do: map[string]func(*run) error{"converse": func(r *run) error {
		for range 7 { // twice as long as a silent client would live
			if got := r.clients["b"].next(0); got != "heartbeat" {
				return fmt.Errorf("expected a heartbeat, got %s", got)
			}
			if err := r.clients["b"].write([]byte{8, 0, 0, 0, 0, 0, 0, 0xce}); err != nil {
				return err
			}
		}
		return nil
	}}},
	{id: "S1.13", about: "any traffic counts as a heartbeat", alone: true, script: `
		connect b heartbeat=1
		b0< connection.open-ok
		b1> channel.open
		b1< channel.open-ok
		hear b
		do busy`, do: map[string]func(*run) error{"busy": func(r *run) error {
		for range 7 {
			if got := r.clients["b"].next(0); got != "heartbeat" {
				return fmt.Errorf("expected a heartbeat, got %s", got)
			}
			r.clients["b"].send(1, &wire.BasicQos{})
			if got := r.clients["b"].next(1); got != "basic.qos-ok" {
				return errors.New(got)
			}
		}
		return nil
	}}},
	{id: "R44", about: "no heartbeats agreed, none sent", alone: true, script: `
		connect b heartbeat=0
		b0< connection.open-ok
		hear b
		do wait`, do: map[string]func(*run) error{"wait": func(r *run) error {
		if got := r.clients["b"].await(0, 3*time.Second); got != nothing {
			return errors.New(got)
		}
		return nil
	}}},
	{id: "R45", about: "heartbeat on channel 1", script: `
		connect b
		b0< connection.open-ok
		b> raw 08000100000000ce
		b0< connection.close 505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0,0)`},
	{id: "R46", about: "heartbeat with a payload", script: `
		connect b
		b0< connection.open-ok
		b0> raw 080000000000026162ce
		b0< connection.close 501 FRAME_ERROR - type 8, all octets = <<"ab">>: unknown_frame (0,0)`},
	{id: "S0.7", about: "the socket is closed after the client's close-ok", script: `
		> channel.open
		< channel.open-ok
		> channel.open
		0< connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)
		0< EOF`},
}

// frameCases are about frames, section 4 of the traces, beyond those that are short.
var frameCases = []conformanceCase{
	{id: "R67", about: "a frame that is larger than frame_max", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce 0200010000000e003c000000000000000222e00000ce 030001000222e0 61*140000 ce
		0< connection.close 501 FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,140000,131064} (0,0)`},
	{id: "R68", about: "a body frame of frame_max", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce 0200010000000e003c0000000000000001fff80000ce 0300010001fff8 61*131064 ce
		> basic.qos
		< basic.qos-ok`},
	{id: "R69", about: "a body frame that is one octet too long is let pass", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce 0200010000000e003c0000000000000001fff90000ce 0300010001fff9 61*131065 ce
		> basic.qos
		< basic.qos-ok`},
	{id: "R75", about: "a body that is longer than its header says", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce 0200010000000e003c000000000000000000020000ce 03000100000003616161ce
		0< (nothing)
		0> connection.close reply-code=200 reply-text=bye
		0< connection.close-ok`},
	{id: "R90", about: "basic.deliver from a client", script: `
		> raw 01000100000010003c003c000000000000000000000000ce
		0< (nothing)
		0< (nothing)`},
	{id: "R91", about: "publishes on two channels, their frames interleaved", script: `
		2> queue.declare queue=il2 exclusive
		2< queue.declare-ok queue=il2
		> queue.declare queue=il1 exclusive
		< queue.declare-ok queue=il1
		> raw 0100010000000c003c002800000003696c3100ce 0100020000000c003c002800000003696c3200ce
		> raw 0200010000000e003c000000000000000000020000ce 0200020000000e003c000000000000000000020000ce
		> raw 0300010000000141ce 0300020000000161ce 0300020000000162ce 0300010000000142ce
		> basic.get queue=il1 no-ack
		< basic.get-ok delivery-tag=1 routing-key=il1 body=AB
		2> basic.get queue=il2 no-ack
		2< basic.get-ok delivery-tag=1 routing-key=il2 body=ab`},
	{id: "R92", about: "a body of 300000 octets is cut at frame_max", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> basic.publish routing-key=q body=x*300000
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 routing-key=q body=xxx…
		do sizes`, do: map[string]func(*run) error{"sizes": func(r *run) error {
		return expectSizes(r.clients["a"], 131064, 131064, 37872)
	}}},
	{id: "S1.18", about: "a method of a channel before connection.open-ok has come", script: greeting + plainOK + `
		b0> connection.tune-ok channel-max=2047 frame-max=131072
		b0> connection.open virtual-host=/
		b1> channel.open
		b0< connection.open-ok
		b1< channel.open-ok`},
	{id: "S1.19", about: "all kinds of header values come back as they are", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> basic.publish routing-key=q @t=true @b=b:-5 @s=s:-300 @I=-70000 @l=l:-5000000000 @d=1.5 @S='x' @A=[1,'a'] @F={k:1,j:v} @V=void @x=x:00ff body=x
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 routing-key=q headers={t:true,b:-5b,s:-300s,I:-70000I,l:-5000000000l,d:1.5d,S:"x",A:[1I,"a"],F:{k:1I,j:"v"},V:void,x:…} body=x`},
}
