package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

var messageColumns = output.Columns[*adminv1.Message]{
	{Name: "offset", Get: func(m *adminv1.Message) any { return m.GetOffset() }},
	{Name: "exchange", Get: func(m *adminv1.Message) any { return m.GetExchange() }},
	{Name: "routing_key", Get: func(m *adminv1.Message) any { return m.GetRoutingKey() }},
	{Name: "redelivered", Get: func(m *adminv1.Message) any { return m.GetRedelivered() }},
	{Name: "delivery_count", Get: func(m *adminv1.Message) any { return m.GetDeliveryCount() }, Extra: true},
	{Name: "priority", Get: func(m *adminv1.Message) any { return m.GetPriority() }, Extra: true},
	{Name: "enqueued", Get: func(m *adminv1.Message) any { return moment(m.GetEnqueued()) }, Extra: true},
	{Name: "expires", Get: func(m *adminv1.Message) any { return moment(m.GetExpires()) }, Extra: true},
	{Name: "properties", Get: func(m *adminv1.Message) any { return propertiesObject(m.GetProperties()) }},
	{Name: "body_size", Get: func(m *adminv1.Message) any { return m.GetBodySize() }},
	{Name: "body_encoding", Get: func(m *adminv1.Message) any { return bodyEncoding(m.GetBody()) }, Extra: true},
	{Name: "body", Get: func(m *adminv1.Message) any { return bodyText(m.GetBody()) }},
}

// bodyEncoding says how bodyText shows a body: as it is (string), or as base64.
func bodyEncoding(body []byte) string {
	if utf8.Valid(body) {
		return "string"
	}
	return "base64"
}

func bodyText(body []byte) string {
	if utf8.Valid(body) {
		return string(body)
	}
	return base64.StdEncoding.EncodeToString(body)
}

// propertiesObject shows the properties that are set.
func propertiesObject(p *adminv1.Properties) output.Object {
	o := output.Object{}
	text := func(name string, value *string) {
		if value != nil {
			o = append(o, output.Member{Name: name, Value: *value})
		}
	}
	number := func(name string, value *uint32) {
		if value != nil {
			o = append(o, output.Member{Name: name, Value: *value})
		}
	}
	if p == nil {
		return o
	}
	text("content_type", p.ContentType)
	text("content_encoding", p.ContentEncoding)
	if len(p.GetHeaders()) > 0 {
		o = append(o, output.Member{Name: "headers", Value: ctl.PlainTable(p.GetHeaders())})
	}
	number("delivery_mode", p.DeliveryMode)
	number("priority", p.Priority)
	text("correlation_id", p.CorrelationId)
	text("reply_to", p.ReplyTo)
	text("expiration", p.Expiration)
	text("message_id", p.MessageId)
	if p.GetTimestamp() != nil {
		o = append(o, output.Member{Name: "timestamp", Value: moment(p.GetTimestamp())})
	}
	text("type", p.Type)
	text("user_id", p.UserId)
	text("app_id", p.AppId)
	return o
}

// listMessages prints messages.
func (c *call) listMessages(w io.Writer, messages []*adminv1.Message) error {
	selected, err := messageColumns.Select(c.columns, c.format)
	if err != nil {
		return &usageError{err}
	}
	l := output.NewList(w, c.format, selected.Names(), !c.noHeaders)
	for _, m := range messages {
		if err := l.Row(selected.Values(m)); err != nil {
			return writeProblem(err)
		}
	}
	return writeProblem(l.Close())
}

// messageFilterFlags adds the flags of messageFilter.
func messageFilterFlags(fs *pflag.FlagSet, body bool) {
	fs.StringArray("header", nil, "only with this header, k=v or k:=JSON; k:=null for any value; repeatable")
	fs.String("key", "", "only with a routing key that matches this regular expression (RE2)")
	if body {
		fs.String("body", "", "only with this text in the body")
	}
	fs.String("message-id", "", "only with this message_id")
	fs.String("correlation-id", "", "only with this correlation_id")
}

func (c *call) messageFilter() (*adminv1.MessageFilter, error) {
	headers, err := c.headers()
	if err != nil {
		return nil, err
	}
	return &adminv1.MessageFilter{Headers: headers, RoutingKeyRegex: c.text("key"), BodyContains: c.text("body"),
		MessageId: c.text("message-id"), CorrelationId: c.text("correlation-id")}, nil
}

func (c *call) headers() (map[string]*adminv1.Value, error) {
	m, err := ctl.ParseArguments(c.list("header"))
	if err != nil {
		return nil, usagef("--header: %w", err)
	}
	return m, nil
}

func (a *app) queuesPeek() *cobra.Command {
	return a.verb(verb{
		use: "peek NAME", short: "Show messages of a queue and leave it exactly as it is",
		columns: messageColumns.Names(),
		long: "peek shows ready messages without taking them: order, counts and the redelivered flag stay as they are. A search with a filter\n" +
			"looks at 10000 messages at most and says where to go on.",
		example: "brokerctl queues peek orders\n" +
			"brokerctl queues peek orders --from tail --count 1 --output json\n" +
			"brokerctl queues peek orders --header customer=7 --body shoes",
		args: atMost(1, "one name"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "queue")
			fs.String("from", "head", "where to start: head, tail (and back) or an offset")
			fs.Uint64("count", 10, "most messages to show, at most 1000")
			fs.Uint64("body-bytes", 0, "bytes of each body to show (64 KiB), at most 1 MiB")
			messageFilterFlags(fs, true)
		},
		run: runPeek,
	})
}

func runPeek(c *call) error {
	name, err := c.name("queue")
	if err != nil {
		return err
	}
	filter, err := c.messageFilter()
	if err != nil {
		return err
	}
	r := &adminv1.PeekMessagesRequest{Vhost: c.vhost, Name: name, Filter: filter}
	switch from := c.text("from"); from {
	case "head":
		r.From = adminv1.PeekFrom_PEEK_FROM_HEAD
	case "tail":
		r.From = adminv1.PeekFrom_PEEK_FROM_TAIL
	default:
		r.From = adminv1.PeekFrom_PEEK_FROM_OFFSET
		if r.Offset, err = strconv.ParseUint(from, 10, 64); err != nil {
			return usagef("--from %q is neither head nor tail nor an offset", from)
		}
	}
	if r.Count, err = c.bounded("count", 1000); err != nil {
		return err
	}
	if r.BodyBytes, err = c.bounded("body-bytes", 1<<20); err != nil {
		return err
	}
	return c.repeat(func(w io.Writer) error {
		found, err := c.queues().PeekMessages(c.ctx, r)
		if err != nil {
			return err
		}
		if err := c.listMessages(w, found.GetMessages()); err != nil {
			return err
		}
		if !found.GetEnd() && len(found.GetMessages()) < int(r.GetCount()) {
			c.warn("looked at %d messages; go on with --from %d", found.GetExamined(), found.GetNextOffset())
		}
		return nil
	})
}

// bounded returns a number that the API takes in 32 bits.
func (c *call) bounded(flag string, most uint64) (uint32, error) {
	n := c.number(flag)
	if n > most {
		return 0, usagef("--%s %d is too much, at most %d", flag, n, most)
	}
	return uint32(n), nil
}

func (a *app) queuesGet() *cobra.Command {
	return a.verb(verb{
		use: "get NAME", short: "Take messages from a queue, as basic.get does",
		columns: messageColumns.Names(),
		long: "get takes messages from the head. By default it puts them back to their old places, where they count as redelivered; to look\n" +
			"without a trace use peek. With --ack-mode acknowledge they are gone, with reject they are dead-lettered or gone.",
		example: "brokerctl queues get orders --count 1\nbrokerctl queues get orders --ack-mode acknowledge --output json",
		args:    atMost(1, "one name"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "queue")
			fs.Uint64("count", 1, "most messages to take, at most 1000")
			fs.String("ack-mode", "requeue", "what becomes of them: requeue, acknowledge or reject")
			fs.Uint64("body-bytes", 0, "bytes of each body to show (64 KiB), at most 1 MiB")
		},
		run: func(c *call) error {
			name, err := c.name("queue")
			if err != nil {
				return err
			}
			r := &adminv1.GetMessagesRequest{Vhost: c.vhost, Name: name}
			switch mode := c.text("ack-mode"); mode {
			case "requeue":
				r.AckMode = adminv1.AckMode_ACK_MODE_REQUEUE
			case "acknowledge", "ack":
				r.AckMode = adminv1.AckMode_ACK_MODE_ACKNOWLEDGE
			case "reject":
				r.AckMode = adminv1.AckMode_ACK_MODE_REJECT
			default:
				return usagef("--ack-mode %q is none of requeue, acknowledge and reject", mode)
			}
			if r.Count, err = c.bounded("count", 1000); err != nil {
				return err
			}
			if r.BodyBytes, err = c.bounded("body-bytes", 1<<20); err != nil {
				return err
			}
			// What would fail in printing must fail before messages are taken.
			if _, err := messageColumns.Select(c.columns, c.format); err != nil {
				return &usageError{err}
			}
			got, err := c.queues().GetMessages(c.ctx, r)
			if err != nil {
				return err
			}
			return c.listMessages(c.out, got.GetMessages())
		},
	})
}

// propertyNames are the properties that --property sets.
const propertyNames = "content_type, content_encoding, delivery_mode, priority, correlation_id, reply_to, expiration, message_id, " +
	"timestamp, type, user_id or app_id"

// maxBody bounds what is read from a file or standard input: a node takes requests of 64 MiB.
const maxBody = 64<<20 - 64<<10

func (a *app) queuesPublish() *cobra.Command {
	return a.verb(verb{
		use: "publish NAME [BODY]", short: "Publish a message to a queue or an exchange and wait for its confirm",
		long: "publish sends a message to a queue (by way of the default exchange), or with --exchange and --routing-key to any exchange. The\n" +
			"body is the second argument, or comes from --body-file. The exit code is 1 if no queue got it or one refused it.\n" +
			"Properties are " + propertyNames + ".",
		example: "brokerctl queues publish orders 'a pair of shoes' --persistent --header customer=7\n" +
			"brokerctl queues publish --exchange events --routing-key order.created --body '{\"id\":1}' --property content_type=application/json\n" +
			"echo hello | brokerctl queues publish orders --body-file -",
		args: atMost(2, "a name and a body"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "queue")
			fs.String("exchange", "", "exchange to publish to (the default exchange)")
			fs.String("routing-key", "", "routing key (the name of the queue)")
			fs.String("body", "", "the body (or the second argument)")
			fs.String("body-file", "", "file with the body, - for standard input")
			fs.Bool("persistent", false, "keep it on disk (delivery_mode 2)")
			fs.StringArray("header", nil, "header k=v or k:=JSON, repeatable")
			fs.StringArray("property", nil, "property k=v, repeatable")
		},
		run: runPublish,
	})
}

func runPublish(c *call) error {
	r := &adminv1.PublishMessageRequest{Vhost: c.vhost, Exchange: c.text("exchange"), RoutingKey: c.text("routing-key")}
	name, err := c.optionalName()
	if err != nil {
		return err
	}
	switch {
	case name == "" && !c.changed("exchange"):
		return usagef("say where to publish to: the name of a queue, or --exchange and --routing-key")
	case name != "" && (c.changed("exchange") || c.changed("routing-key")):
		return usagef("the queue %q and --exchange or --routing-key are both given; use one", name)
	case name != "":
		r.RoutingKey = name
	}
	if r.Body, err = c.body(); err != nil {
		return err
	}
	if r.Properties, err = c.properties(); err != nil {
		return err
	}
	done, err := adminv1.NewMessageServiceClient(c.conn).PublishMessage(c.ctx, r)
	if err != nil {
		return err
	}
	o := output.Object{{Name: "routed", Value: done.GetRouted()}, {Name: "confirmed", Value: done.GetConfirmed()}}
	switch {
	case !done.GetRouted():
		err = ctl.Problemf(exitFailure, "no queue got the message; brokerctl route explain shows why")
	case !done.GetConfirmed():
		err = ctl.Problemf(exitFailure, "a queue refused the message, it is full perhaps; brokerctl queues show shows its limits")
	default:
		return c.done(o, "published %d bytes, confirmed", len(r.GetBody()))
	}
	if c.format != output.Table {
		return errors.Join(c.done(o, ""), err)
	}
	return err
}

// body reads the body of the message to publish.
func (c *call) body() ([]byte, error) {
	given := 0
	var body []byte
	if c.changed("body") {
		given, body = given+1, []byte(c.text("body"))
	}
	if len(c.args) > 1 {
		given, body = given+1, []byte(c.args[1])
	}
	file := c.text("body-file")
	if file != "" {
		given++
	}
	if given > 1 {
		return nil, usagef("the body is given more than once: use one of BODY, --body and --body-file")
	}
	if file == "" {
		return body, nil
	}
	return c.readFile(file, maxBody)
}

// readFile reads a file of at most most bytes, - for standard input.
func (c *call) readFile(file string, most int64) ([]byte, error) {
	in := c.cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, ctl.FileProblem(err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, ctl.FileProblem(fmt.Errorf("%s: %w", shownPath(file), err))
	}
	if int64(len(data)) > most {
		return nil, ctl.Problemf(ctl.ExitData, "%s has more than %d bytes", shownPath(file), most)
	}
	return data, nil
}

// properties reads --property, --header and --persistent.
func (c *call) properties() (*adminv1.Properties, error) {
	p := &adminv1.Properties{}
	var err error
	if p.Headers, err = c.headers(); err != nil {
		return nil, err
	}
	if c.bool("persistent") {
		p.DeliveryMode = new(uint32)
		*p.DeliveryMode = 2
	}
	for _, s := range c.list("property") {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usagef("--property %q is not k=v", s)
		}
		if err := setProperty(p, strings.ReplaceAll(name, "-", "_"), value); err != nil {
			return nil, usagef("--property %q: %w", s, err)
		}
	}
	return p, nil
}

func setProperty(p *adminv1.Properties, name, value string) error {
	texts := map[string]**string{
		"content_type": &p.ContentType, "content_encoding": &p.ContentEncoding, "correlation_id": &p.CorrelationId,
		"reply_to": &p.ReplyTo, "expiration": &p.Expiration, "message_id": &p.MessageId, "type": &p.Type, "user_id": &p.UserId,
		"app_id": &p.AppId,
	}
	if text := texts[name]; text != nil {
		*text = &value
		return nil
	}
	switch name {
	case "delivery_mode", "priority":
		n, err := strconv.ParseUint(value, 10, 8)
		if err != nil {
			return fmt.Errorf("%s is a number from 0 to 255", name)
		}
		number := uint32(n)
		if name == "priority" {
			p.Priority = &number
		} else {
			p.DeliveryMode = &number
		}
		return nil
	case "timestamp":
		t, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return fmt.Errorf("timestamp is a time such as 2026-01-31T12:00:00Z")
		}
		p.Timestamp = timestamppb.New(t)
		return nil
	}
	return fmt.Errorf("there is no property %q; there are %s", name, propertyNames)
}

func (a *app) queuesRedrive() *cobra.Command {
	return a.verb(verb{
		use: "redrive NAME", short: "Send dead letters back to where they came from",
		long: "redrive takes the dead letters of a queue and publishes them to the queues they came from, or to --exchange. Messages that do\n" +
			"not pass the filter, are no dead letters or find no queue stay where they are. None is lost: each leaves when it has arrived.",
		example: "brokerctl queues redrive orders.dead --dry-run\n" +
			"brokerctl queues redrive orders.dead --rate 100 --header customer=7 --yes",
		args: atMost(1, "one name"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "queue")
			fs.Uint64("count", 0, "most messages to send (those that are ready now)")
			fs.Uint64("rate", 0, "most messages per second (no limit)")
			fs.String("exchange", "", "send all to this exchange instead, with the routing key they came with")
			fs.Bool("dry-run", false, "only tell what would be sent")
			messageFilterFlags(fs, true)
		},
		run: runRedrive,
	})
}

func runRedrive(c *call) error {
	name, err := c.name("queue")
	if err != nil {
		return err
	}
	filter, err := c.messageFilter()
	if err != nil {
		return err
	}
	r := &adminv1.RedriveMessagesRequest{Vhost: c.vhost, Name: name, Count: c.number("count"), Filter: filter, DryRun: c.bool("dry-run")}
	if r.Rate, err = c.bounded("rate", 1_000_000); err != nil {
		return err
	}
	if c.changed("exchange") {
		exchange := c.text("exchange")
		r.Exchange = &exchange
	}
	ctx, cancel := c.bounds()
	defer cancel()
	stream, err := c.queues().RedriveMessages(ctx, r)
	if err != nil {
		return err
	}
	bar := c.progress("redrive")
	defer bar.clear()
	var last *adminv1.RedriveMessagesResponse
	for {
		step, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		last = step
		bar.at(step.GetSent()+step.GetSkipped(), step.GetTotal())
	}
	bar.clear()
	verb := "sent"
	if r.GetDryRun() {
		verb = "would send"
	}
	text := fmt.Sprintf("%s %d messages of queue %q, left %d where they are", verb, last.GetSent(), name, last.GetSkipped())
	if last.GetReason() != "" {
		text += "; the last one: " + last.GetReason()
	}
	return c.done(output.Object{{Name: "sent", Value: last.GetSent()}, {Name: "skipped", Value: last.GetSkipped()},
		{Name: "total", Value: last.GetTotal()}, {Name: "reason", Value: last.GetReason()}, {Name: "dry_run", Value: r.GetDryRun()}},
		"%s", text)
}
