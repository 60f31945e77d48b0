package conformance

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// script is what a case does, a step a line. An optional letter and number before the arrow name the connection (a by default)
// and the channel (1 by default); both are opened at their first use.
//
//	> queue.declare queue=q durable @x-max-length=3   sends a method; @ is an entry of its table, or a message header
//	> basic.publish routing-key=q expiration=5 body=x sends a message: properties by their name
//	< queue.declare-ok queue=q                        the next frame must be this; … stands for anything,
//	                                                  and $ in later steps for the same
//	~> queue.declare queue=q passive                  sends it again and again, until the answer below comes
//	> queue.purge queue=q unopened                    leaves the channel as it is
//	> raw 0800…                                       sends octets, in hex
//	connect b user=x password=y vhost=z               sends a handshake up to connection.open
//	dial b                                            only opens the socket
//	cut b                                             closes the socket without a word
//	hear b                                            shows heartbeats from now on, as frames of channel 0
//	do something                                      calls the case's function of that name
//
// The words bare (no client properties), channel-max, frame-max and heartbeat make the login of connect another one. An expectation
// of (nothing) waits a moment, that of EOF until the peer has closed the socket.
//
// Values are 'text', integers of 32 bits, other kinds of numbers with the letter of the wire in front (l:5), x:00 for octets, 1.5,
// true, false, void, {tables:of,these:ones} and [arrays,of,these]. Anything else is text. Text may have Go's escapes; 61*3 in raw
// and x*3 as a body are repetitions. Fields that are zero are not shown in expectations; a close is CODE TEXT (CLASS,METHOD).
type script string

// run plays a script. It returns the first difference.
type run struct {
	t        testing.TB
	target   *target
	patience time.Duration
	clients  map[string]*client
	do       map[string]func(*run) error

	// matched is what the last … stood for; it replaces $ in the steps after it.
	matched string

	exchanges, queues map[string]bool // that the script declared, to be deleted after it
}

func (r *run) play(s script) error {
	lines := strings.Split(strings.TrimSpace(string(s)), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" {
			continue
		}
		if repeated, ok := strings.CutPrefix(line, "~"); ok && i+1 < len(lines) {
			i++
			if err := r.until(repeated, strings.TrimSpace(lines[i])); err != nil {
				return err
			}
			continue
		}
		if err := r.step(line); err != nil {
			return fmt.Errorf("%s\n  %w", line, err)
		}
	}
	return nil
}

// until repeats a request while its answer is not yet the expected one. A publish may have none.
func (r *run) until(request, answer string) error {
	var last error // that says more than that nothing came
	patience := r.patience
	if strings.Contains(request, "> basic.publish ") {
		r.patience = min(patience, quiet)
		defer func() { r.patience = patience }()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if err := r.step(request); err != nil {
			return err
		}
		err := r.step(answer)
		if err == nil {
			return nil
		}
		if last == nil || !strings.HasSuffix(err.Error(), nothing) {
			last = err
		}
		if time.Now().After(deadline) {
			return last
		}
	}
}

func (r *run) step(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	if name, number, arrow := address(word); arrow != 0 {
		c, err := r.client(name)
		if err != nil {
			return err
		}
		if arrow == '>' {
			return r.request(c, number, strings.ReplaceAll(rest, "$", r.matched))
		}
		patience := r.patience
		if rest == nothing {
			patience = min(patience, quiet)
		}
		got := c.await(number, patience)
		rest := strings.ReplaceAll(rest, "$", r.matched)
		matched, ok := match(rest, got)
		if !ok {
			return fmt.Errorf("expected %s\n  got      %s", rest, got)
		}
		if matched != "" {
			r.matched = matched
		}
		c.ready = c.ready || got == "connection.open-ok"
		return nil
	}
	words := split(rest)
	switch word {
	case "do":
		f := r.do[rest]
		if f == nil {
			return fmt.Errorf("the case has no function %s", rest)
		}
		return f(r)
	case "hear":
		c, err := r.client(words[0])
		if err == nil {
			c.hears.Store(true)
		}
		return err
	case "dial":
		_, err := r.dial(words[0])
		return err
	case "connect":
		c, err := r.dial(words[0])
		if err != nil {
			return err
		}
		return c.begin(r.login(words[1:]))
	case "cut":
		r.clients[words[0]].abandon()
		delete(r.clients, words[0])
		return nil
	}
	return fmt.Errorf("no such step")
}

// address takes an arrow apart: "b2<" is channel 2 of connection b. arrow is 0 if it is none.
func address(word string) (connection string, channel uint16, arrow byte) {
	n := len(word) - 1
	if n < 0 || word[n] != '>' && word[n] != '<' {
		return "", 0, 0
	}
	digits := strings.TrimLeft(word[:n], "abcdefghijklmnopqrstuvwxyz")
	connection, channel = word[:n-len(digits)], 1
	if digits != "" {
		v, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			return "", 0, 0
		}
		channel = uint16(v)
	}
	if connection == "" {
		connection = "a"
	}
	return connection, channel, word[n]
}

func (r *run) login(words []string) login {
	l := login{
		user: r.target.user, password: r.target.password, vhost: r.target.vhost, properties: clientProperties,
		tune: wire.ConnectionTuneOk{ChannelMax: r.target.channelMax, FrameMax: r.target.frameMax},
	}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "user":
			l.user = v
		case "password":
			l.password = v
		case "vhost":
			l.vhost = v
		case "bare":
			l.properties = nil
		default:
			if !set(reflect.ValueOf(&l.tune).Elem(), k, w) {
				r.t.Errorf("connect has no field %s", k)
			}
		}
	}
	return l
}

// clientProperties claim what all widely used clients claim.
var clientProperties = wire.Table{{Name: "capabilities", Value: wire.TableValue(wire.Table{
	{Name: "publisher_confirms", Value: wire.Bool(true)},
	{Name: "consumer_cancel_notify", Value: wire.Bool(true)},
	{Name: "basic.nack", Value: wire.Bool(true)},
	{Name: "exchange_exchange_bindings", Value: wire.Bool(true)},
	{Name: "connection.blocked", Value: wire.Bool(true)},
	{Name: "authentication_failure_close", Value: wire.Bool(true)},
})}}

func (r *run) dial(name string) (*client, error) {
	c, err := dial(r.target.addr, r.patience)
	if err == nil {
		r.clients[name] = c
	}
	return c, err
}

// client returns the connection of that name, opened if it is new.
func (r *run) client(name string) (*client, error) {
	if c := r.clients[name]; c != nil {
		return c, nil
	}
	c, err := r.dial(name)
	if err != nil {
		return nil, err
	}
	if err := c.begin(r.login(nil)); err != nil {
		return nil, err
	}
	if got := c.next(0); got != "connection.open-ok" {
		return nil, fmt.Errorf("connection.open was answered with %s", got)
	}
	c.ready = true
	return c, nil
}

func (r *run) request(c *client, channel uint16, text string) error {
	words := split(text)
	if words[0] == "raw" {
		b, err := octets(words[1:])
		if err != nil {
			return err
		}
		if err := c.open(channel); err != nil {
			return err
		}
		_ = c.write(b)
		return nil
	}
	if words[0] == "channel.open" {
		c.opened[channel] = true
	} else if !slices.Contains(words, "unopened") {
		if err := c.open(channel); err != nil {
			return err
		}
	}
	m, ok := methods[words[0]]
	if !ok {
		return fmt.Errorf("no method %s", words[0])
	}
	method := reflect.New(reflect.TypeOf(m).Elem())
	var (
		properties wire.Properties
		table      wire.Table
		body       string
	)
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		switch {
		case k == "unopened", k == "bare":
		case k == "body":
			body = unquote(v)
			if x, n, ok := strings.Cut(body, "*"); ok && len(x) == 1 {
				count, err := strconv.Atoi(n)
				if err != nil {
					return err
				}
				body = strings.Repeat(x, count)
			}
		case strings.HasPrefix(k, "@"):
			table = append(table, wire.Field{Name: k[1:], Value: value(v)})
		case set(method.Elem(), k, w), set(reflect.ValueOf(&properties).Elem(), k, w):
		default:
			return fmt.Errorf("no field %s", k)
		}
	}
	switch m := method.Interface().(type) {
	case *wire.BasicPublish:
		properties.Headers = table
		c.publish(channel, m, &properties, []byte(body))
		return nil
	case *wire.ConnectionStartOk:
		m.ClientProperties, m.Locale = clientProperties, "en_US"
		if slices.Contains(words, "bare") {
			m.ClientProperties = nil
		}
	case *wire.QueueDeclare:
		r.queues[m.Queue] = true
	case *wire.ExchangeDeclare:
		r.exchanges[m.Exchange] = true
	}
	if f := method.Elem().FieldByName("Arguments"); f.IsValid() {
		f.Set(reflect.ValueOf(table))
	}
	c.send(channel, method.Interface().(wire.Method))
	return nil
}

// set stores the word name=value, or the flag name, in the field of that name.
func set(v reflect.Value, name, word string) bool {
	_, raw, valued := strings.Cut(word, "=")
	text := unquote(raw)
	for i := range v.NumField() {
		if kebab(v.Type().Field(i).Name) != name {
			continue
		}
		f := v.Field(i)
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(!valued || text == "true")
		case reflect.String:
			f.SetString(text)
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				return false
			}
			f.SetUint(n)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]byte(text)))
		default:
			return false
		}
		return true
	}
	return false
}

// unquote takes a word out of its quotes and undoes escapes.
func unquote(s string) string {
	s = strings.Trim(s, "'")
	if strings.Contains(s, `\`) {
		if plain, err := strconv.Unquote(`"` + s + `"`); err == nil {
			return plain
		}
	}
	return s
}

// octets parses hex words; 61*3 is 616161.
func octets(words []string) ([]byte, error) {
	var all []byte
	for _, w := range words {
		digits, times, repeated := strings.Cut(w, "*")
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(times); err != nil {
				return nil, err
			}
		}
		all = append(all, bytes.Repeat(b, n)...)
	}
	return all, nil
}

// value parses a table value.
func value(s string) wire.Value {
	switch {
	case s == "true", s == "false":
		return wire.Bool(s == "true")
	case s == "void":
		return wire.Void()
	case strings.HasPrefix(s, "'"):
		return wire.String(unquote(s))
	case strings.HasPrefix(s, "{"):
		var t wire.Table
		for e := range strings.SplitSeq(strings.Trim(s, "{}"), ",") {
			k, v, _ := strings.Cut(e, ":")
			t = append(t, wire.Field{Name: k, Value: value(v)})
		}
		return wire.TableValue(t)
	case len(s) > 2 && s[1] == ':':
		if b, err := hex.DecodeString(s[2:]); s[0] == 'x' && err == nil {
			return wire.Value{Kind: wire.KindBinary, Str: string(b)}
		}
		n, _ := strconv.ParseInt(s[2:], 10, 64)
		return wire.Value{Kind: wire.Kind(s[0]), Int: n}
	case strings.HasPrefix(s, "["):
		var list []wire.Value
		for e := range strings.SplitSeq(strings.Trim(s, "[]"), ",") {
			list = append(list, value(e))
		}
		return wire.ArrayValue(list...)
	}
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return wire.Int32(int32(n))
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return wire.Int64(n)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return wire.Double(f)
	}
	return wire.String(s)
}

// split cuts a line at its spaces, save those between single quotes.
func split(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(c rune) bool {
		if c == '\'' {
			quoted = !quoted
		}
		return c == ' ' && !quoted
	})
}

// methods are those that scripts send.
var methods = map[string]wire.Method{}

func init() {
	for _, m := range []wire.Method{
		&wire.ConnectionStartOk{}, &wire.ConnectionTuneOk{}, &wire.ConnectionOpen{}, &wire.ConnectionClose{}, &wire.ConnectionCloseOk{},
		&wire.ConnectionBlocked{}, &wire.ConnectionUpdateSecret{},
		&wire.ChannelOpen{}, &wire.ChannelFlow{}, &wire.ChannelClose{}, &wire.ChannelCloseOk{}, &wire.AccessRequest{},
		&wire.ExchangeDeclare{}, &wire.ExchangeDelete{}, &wire.ExchangeBind{}, &wire.ExchangeUnbind{},
		&wire.QueueDeclare{}, &wire.QueueDeclareOk{}, &wire.QueueBind{}, &wire.QueueUnbind{}, &wire.QueuePurge{}, &wire.QueueDelete{},
		&wire.BasicQos{}, &wire.BasicConsume{}, &wire.BasicCancel{}, &wire.BasicPublish{}, &wire.BasicGet{}, &wire.BasicAck{},
		&wire.BasicNack{}, &wire.BasicReject{}, &wire.BasicRecover{}, &wire.BasicRecoverAsync{},
		&wire.ConfirmSelect{}, &wire.TxSelect{}, &wire.TxCommit{}, &wire.TxRollback{},
	} {
		methods[m.Key().String()] = m
	}
}
