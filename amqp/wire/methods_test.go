package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

const emptyTable = "\x00\x00\x00\x00"

// goldens hold every method once with its encoded arguments, written down from the specification.
var goldens = []struct {
	m    Method
	args string
}{
	{
		&ConnectionStart{0, 9, Table{{"a", Bool(true)}}, "PLAIN AMQPLAIN", "en_US"},
		"\x00\x09\x00\x00\x00\x04\x01at\x01\x00\x00\x00\x0ePLAIN AMQPLAIN\x00\x00\x00\x05en_US",
	},
	{
		&ConnectionStartOk{nil, "PLAIN", []byte("\x00u\x00p"), "en_US"},
		emptyTable + "\x05PLAIN\x00\x00\x00\x04\x00u\x00p\x05en_US",
	},
	{&ConnectionSecure{[]byte("c")}, "\x00\x00\x00\x01c"},
	{&ConnectionSecureOk{[]byte("r")}, "\x00\x00\x00\x01r"},
	{&ConnectionTune{2047, 131072, 60}, "\x07\xff\x00\x02\x00\x00\x00\x3c"},
	{&ConnectionTuneOk{2047, 131072, 60}, "\x07\xff\x00\x02\x00\x00\x00\x3c"},
	{&ConnectionOpen{"/"}, "\x01/\x00\x00"},
	{&ConnectionOpenOk{}, "\x00"},
	{&ConnectionClose{320, "bye", 50, 10}, "\x01\x40\x03bye\x00\x32\x00\x0a"},
	{&ConnectionCloseOk{}, ""},
	{&ConnectionBlocked{"low on memory"}, "\x0dlow on memory"},
	{&ConnectionUnblocked{}, ""},
	{&ConnectionUpdateSecret{[]byte("s"), "r"}, "\x00\x00\x00\x01s\x01r"},
	{&ConnectionUpdateSecretOk{}, ""},
	{&ChannelOpen{}, "\x00"},
	{&ChannelOpenOk{}, emptyTable},
	{&ChannelFlow{true}, "\x01"},
	{&ChannelFlowOk{true}, "\x01"},
	{&ChannelClose{404, "gone", 60, 40}, "\x01\x94\x04gone\x00\x3c\x00\x28"},
	{&ChannelCloseOk{}, ""},
	{&AccessRequest{"/data", true, false, true, false, true}, "\x05/data\x15"},
	{&AccessRequestOk{1}, "\x00\x01"},
	{
		&ExchangeDeclare{"e", "topic", true, false, true, false, true, nil},
		"\x00\x00\x01e\x05topic\x15" + emptyTable,
	},
	{&ExchangeDeclareOk{}, ""},
	{&ExchangeDelete{"e", true, false}, "\x00\x00\x01e\x01"},
	{&ExchangeDeleteOk{}, ""},
	{&ExchangeBind{"d", "s", "k", true, nil}, "\x00\x00\x01d\x01s\x01k\x01" + emptyTable},
	{&ExchangeBindOk{}, ""},
	{&ExchangeUnbind{"d", "s", "k", true, nil}, "\x00\x00\x01d\x01s\x01k\x01" + emptyTable},
	{&ExchangeUnbindOk{}, ""},
	{
		&QueueDeclare{"q", false, true, false, true, true, Table{{"x-max-length", Int32(5)}}},
		"\x00\x00\x01q\x1a\x00\x00\x00\x12\x0cx-max-lengthI\x00\x00\x00\x05",
	},
	{&QueueDeclareOk{"q", 3, 2}, "\x01q\x00\x00\x00\x03\x00\x00\x00\x02"},
	{&QueueBind{"q", "e", "k", true, nil}, "\x00\x00\x01q\x01e\x01k\x01" + emptyTable},
	{&QueueBindOk{}, ""},
	{&QueuePurge{"q", true}, "\x00\x00\x01q\x01"},
	{&QueuePurgeOk{7}, "\x00\x00\x00\x07"},
	{&QueueDelete{"q", true, false, true}, "\x00\x00\x01q\x05"},
	{&QueueDeleteOk{7}, "\x00\x00\x00\x07"},
	{&QueueUnbind{"q", "e", "k", nil}, "\x00\x00\x01q\x01e\x01k" + emptyTable},
	{&QueueUnbindOk{}, ""},
	{&BasicQos{1, 2, true}, "\x00\x00\x00\x01\x00\x02\x01"},
	{&BasicQosOk{}, ""},
	{&BasicConsume{"q", "t", false, true, false, true, nil}, "\x00\x00\x01q\x01t\x0a" + emptyTable},
	{&BasicConsumeOk{"t"}, "\x01t"},
	{&BasicCancel{"t", true}, "\x01t\x01"},
	{&BasicCancelOk{"t"}, "\x01t"},
	{&BasicPublish{"e", "k", true, false}, "\x00\x00\x01e\x01k\x01"},
	{&BasicReturn{312, "NO_ROUTE", "e", "k"}, "\x01\x38\x08NO_ROUTE\x01e\x01k"},
	{&BasicDeliver{"t", 1 << 40, true, "e", "k"}, "\x01t\x00\x00\x01\x00\x00\x00\x00\x00\x01\x01e\x01k"},
	{&BasicGet{"q", true}, "\x00\x00\x01q\x01"},
	{&BasicGetOk{1, true, "e", "k", 9}, "\x00\x00\x00\x00\x00\x00\x00\x01\x01\x01e\x01k\x00\x00\x00\x09"},
	{&BasicGetEmpty{}, "\x00"},
	{&BasicAck{2, true}, "\x00\x00\x00\x00\x00\x00\x00\x02\x01"},
	{&BasicReject{2, true}, "\x00\x00\x00\x00\x00\x00\x00\x02\x01"},
	{&BasicRecoverAsync{true}, "\x01"},
	{&BasicRecover{true}, "\x01"},
	{&BasicRecoverOk{}, ""},
	{&BasicNack{2, false, true}, "\x00\x00\x00\x00\x00\x00\x00\x02\x02"},
	{&ConfirmSelect{true}, "\x01"},
	{&ConfirmSelectOk{}, ""},
	{&TxSelect{}, ""},
	{&TxSelectOk{}, ""},
	{&TxCommit{}, ""},
	{&TxCommitOk{}, ""},
	{&TxRollback{}, ""},
	{&TxRollbackOk{}, ""},
}

// methodPayload returns the payload of a method frame.
func methodPayload(k MethodKey, args string) []byte {
	return append(appendUint32(nil, uint32(k)), args...)
}

func TestMethodBytes(t *testing.T) {
	seen := map[MethodKey]bool{}
	for _, g := range goldens {
		k := g.m.Key()
		seen[k] = true
		t.Run(k.String(), func(t *testing.T) {
			if got := string(g.m.AppendArgs(nil)); got != g.args {
				t.Errorf("encoded:\n got %x\nwant %x", got, g.args)
			}
			got, err := ParseMethod(methodPayload(k, g.args))
			if err != nil || !reflect.DeepEqual(got, g.m) {
				t.Errorf("decoded:\n got %+v, error %v\nwant %+v", got, err, g.m)
			}
		})
	}
	for k, name := range methodNames {
		if !seen[k] {
			t.Errorf("%s has no golden bytes", name)
		}
		m := newMethod(k)
		if m == nil || m.Key() != k {
			t.Errorf("%s: newMethod returns %T", name, m)
			continue
		}
		// The Go name follows from the AMQP name: queue.declare-ok is QueueDeclareOk.
		want := strings.ReplaceAll(strings.ReplaceAll(name, ".", ""), "-", "")
		if got := strings.ToLower(reflect.TypeOf(m).Elem().Name()); got != want {
			t.Errorf("%s is decoded as %T", name, m)
		}
	}
	if len(seen) != len(methodNames) {
		t.Errorf("%d methods with golden bytes, %d with names", len(seen), len(methodNames))
	}
}

// Every truncation of every method, and every method with a byte too many, is refused with the text that RabbitMQ has.
func TestMethodFraming(t *testing.T) {
	for _, g := range goldens {
		k := g.m.Key()
		for n := range g.args {
			_, err := ParseMethod(methodPayload(k, g.args[:n]))
			wantError(t, err, FrameError, cut("FRAME_ERROR - cannot decode "+string(appendOctets(nil, []byte(g.args[:n])))), k)
		}
		junk := g.args + "\x01"
		_, err := ParseMethod(methodPayload(k, junk))
		wantError(t, err, FrameError, cut("FRAME_ERROR - cannot decode "+string(appendOctets(nil, []byte(junk)))), k)
	}
}

// The texts are RabbitMQ's, as seen on the wire, except for the tables: there RabbitMQ resets the connection.
func TestMethodErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		key    MethodKey
		args   string
		code   ReplyCode
		text   string
		method MethodKey
	}{
		{
			"truncated", KeyQueueDeclare, "\x00\x00\x05ab",
			FrameError, "FRAME_ERROR - cannot decode <<0,0,5,97,98>>", KeyQueueDeclare,
		},
		{
			"junk", KeyBasicQos, "\x00\x00\x00\x00\x00\x00\x00junk",
			FrameError, "FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,106,117,110,107>>", KeyBasicQos,
		},
		{
			"printable", KeyBasicAck, "abc",
			FrameError, "FRAME_ERROR - cannot decode <<97,98,99>>", KeyBasicAck,
		},
		{
			"not UTF-8", KeyQueueDeclare, "\x00\x00\x02\xff\xfe\x04" + emptyTable,
			FrameError, "FRAME_ERROR - Malformed UTF-8 in shortstr", 0,
		},
		{
			"not UTF-8 and truncated", KeyQueueDeclare, "\x00\x00\x02\xff\xfe\x04\x00",
			FrameError, "FRAME_ERROR - cannot decode <<0,0,2,255,254,4,0>>", KeyQueueDeclare,
		},
		{
			"unknown type in table", KeyQueueDeclare, "\x00\x00\x00\x00\x00\x00\x00\x03\x01a?",
			SyntaxError, "SYNTAX_ERROR - field table has a value of unknown type 63", KeyQueueDeclare,
		},
		{
			"table cut off", KeyQueueDeclare, "\x00\x00\x00\x00\x00\x00\x00\x03\x01aI",
			SyntaxError, "SYNTAX_ERROR - field table is cut off", KeyQueueDeclare,
		},
		{
			"table longer than the frame", KeyQueueDeclare, "\x00\x00\x00\x00\xff\xff\xff\xff\x01aV",
			FrameError, "FRAME_ERROR - cannot decode <<0,0,0,0,255,255,255,255,1,97,86>>", KeyQueueDeclare,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseMethod(methodPayload(c.key, c.args))
			wantError(t, err, c.code, c.text, c.method)
		})
	}
	_, err := ParseMethod([]byte{0, 60})
	wantError(t, err, FrameError, "FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame", 0)
	for _, k := range []MethodKey{ClassBasic<<16 | 999, 999<<16 | 10, 0} {
		if _, err := ParseMethod(methodPayload(k, "")); !errors.Is(err, ErrUnknownMethod) {
			t.Errorf("%v: got error %v", k, err)
		}
	}
}

// Strings in methods with content are not checked.
func TestContentMethodsTakeAnyBytes(t *testing.T) {
	for _, m := range []Method{
		&BasicPublish{Exchange: "\xff", RoutingKey: "\xfe"},
		&BasicDeliver{ConsumerTag: "\xff", Exchange: "\xff", RoutingKey: "\xfe"},
		&BasicGetOk{Exchange: "\xff", RoutingKey: "\xfe"},
		&BasicReturn{ReplyText: "\xff", Exchange: "\xff", RoutingKey: "\xfe"},
	} {
		if !m.Key().HasContent() {
			t.Errorf("%v has content", m.Key())
		}
		got, err := ParseMethod(methodPayload(m.Key(), string(m.AppendArgs(nil))))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, error %v, want %+v", got, err, m)
		}
	}
}

func TestShortstrIsCut(t *testing.T) {
	long := strings.Repeat("ü", 200)
	m, err := ParseMethod(methodPayload(KeyBasicConsumeOk, string((&BasicConsumeOk{long}).AppendArgs(nil))))
	if err != nil || m.(*BasicConsumeOk).ConsumerTag != long[:254] {
		t.Errorf("got %+v, error %v", m, err)
	}
}

func TestMethodKey(t *testing.T) {
	k, ok := ParseMethodKey([]byte{0, 50, 0, 11, 1})
	if !ok || k != KeyQueueDeclareOk || k.Class() != 50 || k.Method() != 11 || k.String() != "queue.declare-ok" {
		t.Errorf("got %v (%d, %d), %v", k, k.Class(), k.Method(), ok)
	}
	if _, ok := ParseMethodKey([]byte{0, 50, 0}); ok {
		t.Error("3 bytes make a key")
	}
	if got := MethodKey(60<<16 | 999).String(); got != "60.999" {
		t.Errorf("unknown method is called %q", got)
	}
}

// drawMethod returns a random method with random arguments.
func drawMethod(t *rapid.T) Method {
	m := rapid.SampledFrom(goldens).Draw(t, "method").m
	v := reflect.New(reflect.TypeOf(m).Elem())
	for i := range v.Elem().NumField() {
		f, name := v.Elem().Field(i), v.Elem().Type().Field(i).Name
		switch f.Interface().(type) {
		case bool:
			f.SetBool(rapid.Bool().Draw(t, name))
		case string:
			f.SetString(rapid.StringN(-1, -1, 255).Draw(t, name))
		case []byte:
			f.SetBytes(rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, name))
		case Table:
			if table := drawTable(t, 3); len(table) > 0 {
				f.Set(reflect.ValueOf(table))
			}
		default:
			f.SetUint(rapid.Uint64().Draw(t, name) >> (64 - f.Type().Bits()))
		}
	}
	return v.Interface().(Method)
}

func TestMethodRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, channel := drawMethod(t), rapid.Uint16().Draw(t, "channel")
		b := AppendMethod(nil, channel, m)
		f, n, err := ParseFrame(b, 0)
		if err != nil || n != len(b) || f.Channel != channel || f.Type != FrameMethod {
			t.Fatalf("got frame %+v of %d bytes, error %v", f, n, err)
		}
		got, err := ParseMethod(f.Payload)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, m)
		}
		clear(b)
		if !reflect.DeepEqual(got, m) {
			t.Fatal("the method refers to the frame")
		}
	})
}

func FuzzMethod(f *testing.F) {
	for _, g := range goldens {
		f.Add(methodPayload(g.m.Key(), g.args))
	}
	f.Add(methodPayload(KeyQueueDeclare, "\x00\x00\x02\xff\xfe\x04"+emptyTable))
	f.Add(methodPayload(KeyQueueDeclare, "\x00\x00\x05ab"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := ParseMethod(payload)
		if err != nil {
			var e *Error
			if !errors.Is(err, ErrUnknownMethod) &&
				(!errors.As(err, &e) || !e.Hard() || len(e.Text) > 255 || !utf8.ValidString(e.Text)) {
				t.Fatalf("bad error %v", err)
			}
			checkViews(t, payload, nil)
			return
		}
		again := methodPayload(m.Key(), string(m.AppendArgs(nil)))
		m2, err := ParseMethod(again)
		if err != nil {
			t.Fatalf("encoded again as %x: %v", again, err)
		}
		if b := methodPayload(m2.Key(), string(m2.AppendArgs(nil))); !bytes.Equal(b, again) {
			t.Fatalf("third encoding %x, second %x", b, again)
		}
		checkViews(t, payload, m)
	})
}

// checkViews checks that the views agree with m, which is what ParseMethod returned for payload, nil for an error.
func checkViews(t *testing.T, payload []byte, m Method) {
	k, ok := ParseMethodKey(payload)
	if !ok {
		return
	}
	args := payload[methodKeyLen:]
	var got Method
	var err error
	switch k {
	case KeyBasicPublish:
		var a PublishArgs
		a, err = ParsePublish(args)
		got = &BasicPublish{string(a.Exchange), string(a.RoutingKey), a.Mandatory, a.Immediate}
	case KeyBasicDeliver:
		var a DeliverArgs
		a, err = ParseDeliver(args)
		got = &BasicDeliver{string(a.ConsumerTag), a.DeliveryTag, a.Redelivered, string(a.Exchange), string(a.RoutingKey)}
	case KeyBasicAck:
		a := new(BasicAck)
		a.DeliveryTag, a.Multiple, err = ParseAck(args)
		got = a
	case KeyBasicNack:
		a := new(BasicNack)
		a.DeliveryTag, a.Multiple, a.Requeue, err = ParseNack(args)
		got = a
	case KeyBasicReject:
		a := new(BasicReject)
		a.DeliveryTag, a.Requeue, err = ParseReject(args)
		got = a
	default:
		return
	}
	if (err == nil) != (m != nil) {
		t.Fatalf("view of %x: error %v, method %+v", payload, err, m)
	}
	if err == nil && !reflect.DeepEqual(got, m) {
		t.Fatalf("view %+v, method %+v", got, m)
	}
}
