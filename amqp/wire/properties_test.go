package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// drawProperties returns random properties as ParseProperties would return them.
func drawProperties(t *rapid.T) Properties {
	p := Properties{Flags: PropertyFlag(rapid.Uint16().Draw(t, "flags")) &^ (FlagClusterID - 1)}
	for f := FlagContentType; f >= FlagClusterID; f >>= 1 {
		if p.Flags&f == 0 {
			continue
		}
		switch f {
		case FlagHeaders:
			p.Headers = drawTable(t, 3)
		case FlagDeliveryMode:
			p.DeliveryMode = rapid.Uint8().Draw(t, "delivery mode")
		case FlagPriority:
			p.Priority = rapid.Uint8().Draw(t, "priority")
		case FlagTimestamp:
			p.Timestamp = rapid.Uint64().Draw(t, "timestamp")
		default:
			*p.text(f) = rapid.StringN(-1, -1, 255).Draw(t, "text")
		}
	}
	return p
}

func TestPropertiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProperties(t)
		raw := p.Append(nil)
		got, err := ParseProperties(raw)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, p)
		}
		// The flags follow from the fields, except for properties that are present but empty.
		bare := p
		bare.Flags = 0
		for f := FlagContentType; f >= FlagClusterID; f >>= 1 {
			if bare.Has(f) && !p.Has(f) {
				t.Fatalf("flag %04x is set without a value", f)
			}
			cleared := p
			cleared.Clear(f)
			if cleared.Has(f) || cleared.present() != p.present()&^f {
				t.Fatalf("flag %04x is not cleared in %+v", f, cleared)
			}
		}
		// Every cut is an error, and so is every addition.
		var v PropertyView
		for n := range raw {
			wantPropertyError(t, ScanProperties(raw[:n], &v))
		}
		wantPropertyError(t, ScanProperties(append(raw, 0), &v))
	})
}

func wantPropertyError(t *rapid.T, err error) {
	var e *Error
	if !errors.As(err, &e) || e.Code != InternalError || e.Text != "INTERNAL_ERROR" || e.Method != 0 || !e.Hard() {
		t.Fatalf("got error %v, want INTERNAL_ERROR", err)
	}
}

func TestPropertyBytes(t *testing.T) {
	p := Properties{
		ContentType: "a", ContentEncoding: "b", Headers: Table{{"h", Bool(true)}}, DeliveryMode: 2, Priority: 9,
		CorrelationID: "c", ReplyTo: "d", Expiration: "1", MessageID: "e", Timestamp: 1 << 32, Type: "f", UserID: "g",
		AppID: "h", ClusterID: "i",
	}
	want := "\xff\xfc\x01a\x01b\x00\x00\x00\x04\x01ht\x01\x02\x09\x01c\x01d\x011\x01e" +
		"\x00\x00\x00\x01\x00\x00\x00\x00\x01f\x01g\x01h\x01i"
	raw := p.Append(nil)
	if string(raw) != want {
		t.Errorf("got %x, want %x", raw, want)
	}
	var v PropertyView
	if err := ScanProperties(raw, &v); err != nil {
		t.Fatal(err)
	}
	wantView := PropertyView{
		Flags: 0xfffc, ContentType: []byte("a"), ContentEncoding: []byte("b"), Headers: []byte("\x01ht\x01"),
		DeliveryMode: 2, Priority: 9, CorrelationID: []byte("c"), ReplyTo: []byte("d"), Expiration: []byte("1"),
		MessageID: []byte("e"), Timestamp: 1 << 32, Type: []byte("f"), UserID: []byte("g"), AppID: []byte("h"),
		ClusterID: []byte("i"),
	}
	if !reflect.DeepEqual(v, wantView) {
		t.Errorf("got %+v, want %+v", v, wantView)
	}
}

func TestPropertyPresence(t *testing.T) {
	p, err := ParseProperties([]byte{0x81, 0x00, 0, 0}) // empty content type and expiration
	if err != nil || !p.Has(FlagContentType) || !p.Has(FlagExpiration) || p.Has(FlagHeaders) {
		t.Fatalf("got %+v, error %v", p, err)
	}
	var v PropertyView
	if err := ScanProperties([]byte{0x20, 0x00, 0, 0, 0, 0}, &v); err != nil || !v.Has(FlagHeaders) || v.Has(FlagType) {
		t.Fatalf("got %+v, error %v", v, err)
	}
	// A view is filled anew.
	if err := ScanProperties([]byte{0, 0}, &v); err != nil || !reflect.DeepEqual(v, PropertyView{}) {
		t.Fatalf("got %+v, error %v", v, err)
	}
}

func TestScanPropertiesErrors(t *testing.T) {
	headers := func(content []byte) []byte { return appendLong([]byte{0x20, 0}, content) }
	for _, c := range []struct {
		name string
		raw  []byte
		code ReplyCode
		text string
	}{
		{"nothing", nil, InternalError, "INTERNAL_ERROR"},
		{"short string cut off", []byte("\x80\x00\x05ab"), InternalError, "INTERNAL_ERROR"},
		{"junk", []byte("\x00\x00junk"), InternalError, "INTERNAL_ERROR"},
		{"second word of flags", []byte{0, 1, 0, 0}, InternalError, "INTERNAL_ERROR"},
		{"unknown type in headers", headers([]byte("\x01a?")), InternalError, "INTERNAL_ERROR"},
		{"headers longer than the rest", []byte("\x20\x00\xff\xff\xff\xff\x01aV"), InternalError, "INTERNAL_ERROR"},
		{
			"deep headers", headers(nested(MaxDepth+1, KindTable)),
			SyntaxError, "SYNTAX_ERROR - field table is nested deeper than 128 levels",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v PropertyView
			wantError(t, ScanProperties(c.raw, &v), c.code, c.text, 0)
			_, err := ParseProperties(c.raw)
			wantError(t, err, c.code, c.text, 0)
		})
	}
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add(benchProps)
	f.Add(benchHeaders)
	f.Add((&Properties{Flags: 0xfffc}).Append(nil))
	f.Add([]byte("\x80\x00\x05ab"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParseProperties(raw)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !e.Hard() {
				t.Fatalf("bad error %v", err)
			}
			return
		}
		again := p.Append(nil)
		q, err := ParseProperties(again)
		if err != nil || !bytes.Equal(q.Append(nil), again) || q.Flags != p.Flags&^2 {
			t.Fatalf("encoded again as %x: %+v, error %v, was %+v", again, q, err, p)
		}
		if !q.Headers.Equal(p.Headers) {
			t.Fatalf("headers %+v, were %+v", q.Headers, p.Headers)
		}
	})
}
