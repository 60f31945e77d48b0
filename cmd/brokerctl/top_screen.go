package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

// topScreen is what top draws. It knows no terminal, only its size.
type topScreen struct {
	moment topMoment
	sort   int // index in topSorts
}

// frame returns the escape sequences and text of a screen: it is drawn over the one before, without flicker.
func (s *topScreen) frame(width, height int) string {
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, line := range s.lines(width, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line)
		b.WriteString("\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.String()
}

// nodeFormat and queueFormat fill 80 columns; a wider screen gives the rest to the first one.
const (
	nodeFormat  = "%s%9s%9s%9s%9s%9s%9s%11s"
	nodeRest    = 9*6 + 11
	queueFormat = "%s%9s%9s%10s%11s %s"
	queueRest   = 9*2 + 10 + 11 + 1 + leaderWidth
	leaderWidth = 11
)

// lines returns at most height lines of at most width characters.
func (s *topScreen) lines(width, height int) []string {
	m := s.moment
	if m.rates == nil {
		return []string{fit("waiting for the first figures", width)}
	}
	lines := []string{fit(topTitle(m, topSorts[s.sort].name), width), ""}
	lines = append(lines, s.nodeLines(width, max(1, height/3))...)
	for _, n := range m.rates.GetNodes() {
		if n.GetAlarm() != "" {
			lines = append(lines, fit(fmt.Sprintf("ALARM on %s: %s", n.GetNode(), n.GetAlarm()), width))
		}
	}
	if u := m.rates.GetUnreachableNodes(); len(u) > 0 {
		lines = append(lines, fit("no answer from "+strings.Join(u, ", "), width))
	}
	lines = append(lines, "")
	if room := height - len(lines); room > 0 {
		lines = append(lines, s.queueLines(width, room)...)
	}
	return lines[:min(len(lines), height)]
}

// nodeLines shows the nodes and, if there are several, their sum.
func (s *topScreen) nodeLines(width, room int) []string {
	name := max(8, width-nodeRest)
	lines := []string{fit(fmt.Sprintf(nodeFormat, pad("node", name), "publish", "confirm", "deliver", "ack", "ready", "unacked", "memory"), width)}
	line := func(node string, n *adminv1.NodeRates) string {
		return fit(fmt.Sprintf(nodeFormat, pad(node, name), short(n.GetPublishRate()), short(n.GetConfirmRate()), short(n.GetDeliverRate()),
			short(n.GetAckRate()), short(float64(n.GetMessagesReady())), short(float64(n.GetMessagesUnacknowledged())),
			size(n.GetMemoryUsedBytes())), width)
	}
	nodes := s.moment.rates.GetNodes()
	shown := nodes[:min(len(nodes), room)]
	for _, n := range shown {
		lines = append(lines, line(n.GetNode(), n))
	}
	if len(nodes) > 1 {
		r := s.moment.rates
		lines = append(lines, line(fmt.Sprintf("all %d", len(nodes)), &adminv1.NodeRates{
			PublishRate: sum(r, (*adminv1.NodeRates).GetPublishRate), ConfirmRate: sum(r, (*adminv1.NodeRates).GetConfirmRate),
			DeliverRate: sum(r, (*adminv1.NodeRates).GetDeliverRate), AckRate: sum(r, (*adminv1.NodeRates).GetAckRate),
			MessagesReady:          sum(r, (*adminv1.NodeRates).GetMessagesReady),
			MessagesUnacknowledged: sum(r, (*adminv1.NodeRates).GetMessagesUnacknowledged),
			MemoryUsedBytes:        sum(r, (*adminv1.NodeRates).GetMemoryUsedBytes),
		}))
	}
	return lines
}

// queueLines shows the fullest queues.
func (s *topScreen) queueLines(width, room int) []string {
	queues := s.moment.queues
	if len(queues) == 0 {
		return []string{fit("no queue holds messages", width)}
	}
	sortQueues(queues, s.sort)
	name := max(8, width-queueRest)
	lines := []string{fit(fmt.Sprintf(queueFormat, pad("queue", name), "ready", "unacked", "consumers", "memory", "leader"), width)}
	room-- // the heading
	more := ""
	if !s.moment.all {
		more = fmt.Sprintf("only the first %d queues with messages are looked at", len(queues))
	}
	if more != "" || len(queues) > room {
		room--
	}
	for _, q := range queues[:max(0, min(len(queues), room))] {
		lines = append(lines, fit(fmt.Sprintf(queueFormat, pad(queueTitle(q), name), short(float64(q.GetMessagesReady())),
			short(float64(q.GetMessagesUnacknowledged())), short(float64(q.GetConsumers())), size(q.GetMemoryBytes()),
			pad(q.GetLeader(), leaderWidth)), width))
	}
	if more == "" && len(queues) > room {
		more = fmt.Sprintf("and %d more queues with messages", len(queues)-max(0, room))
	}
	if more != "" {
		lines = append(lines, fit(more, width))
	}
	return lines
}

// queueTitle is the name of a queue, with its virtual host if that is not the usual one.
func queueTitle(q *adminv1.Queue) string {
	if q.GetVhost() == "/" {
		return q.GetName()
	}
	return q.GetName() + " in " + q.GetVhost()
}

// pad makes a text exactly n characters wide.
func pad(s string, n int) string {
	s = fit(s, n)
	return s + strings.Repeat(" ", n-utf8.RuneCountInString(s))
}

// fit cuts a text to n characters.
func fit(s string, n int) string {
	s = output.Clean(s)
	if utf8.RuneCountInString(s) <= n {
		return strings.TrimRight(s, " ")
	}
	runes := []rune(s)
	return string(runes[:max(0, n-1)]) + "…"
}
