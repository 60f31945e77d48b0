package doctor

import (
	"fmt"
	"time"
)

func about(q *Queue, f Finding) Finding {
	f.VHost, f.Object, f.Node = q.VHost, q.Name.Name, q.Leader
	return f
}

func checkLeaderless(e *Evidence, report func(Finding)) {
	for i := range e.Queues {
		if q := &e.Queues[i]; q.LeaderDown {
			report(about(q, Finding{Severity: Critical, Finding: "queue is not available",
				Evidence: fmt.Sprintf("node %s, which leads it, cannot be reached", q.Leader), Remedy: "start the node, or mend its network"}))
		}
	}
}

func checkUnbounded(e *Evidence, report func(Finding)) {
	for i := range e.Queues {
		if q := &e.Queues[i]; !q.Bounded && q.Ready >= longQueue {
			report(about(q, Finding{Severity: Warning, Finding: "queue is long and has no limit",
				Evidence: fmt.Sprintf("%d messages are ready, %s", q.Ready, size(q.Bytes)),
				Remedy: fmt.Sprintf("add consumers, or set a limit: brokerctl policies set --vhost %q --name limit --pattern %q "+
					"--definition '{\"max-length\":100000,\"overflow\":\"reject-publish\"}'", q.VHost, "^"+q.Name.Name+"$")}))
		}
	}
}

func checkNoConsumers(e *Evidence, report func(Finding)) {
	for i := range e.Queues {
		if q := &e.Queues[i]; q.Consumers == 0 && q.Ready >= idleQueue && !q.Exclusive {
			report(about(q, Finding{Severity: Warning, Finding: "queue has messages and no consumer",
				Evidence: fmt.Sprintf("%d messages are ready", q.Ready), Remedy: "start its consumers, or delete the queue and its bindings"}))
		}
	}
}

func checkUnused(e *Evidence, report func(Finding)) {
	for i := range e.Queues {
		if q := &e.Queues[i]; q.Consumers == 0 && q.UnusedFor >= unusedQueue && !q.Exclusive {
			report(about(q, Finding{Severity: Info, Finding: "nobody uses the queue",
				Evidence: fmt.Sprintf("for %d days, with %d messages", int(q.UnusedFor.Hours()/24), q.Ready),
				Remedy:   "delete it, or have it expire: policy key expires"}))
		}
	}
}

func checkDeadLetters(e *Evidence, report func(Finding)) {
	for i := range e.Queues {
		q := &e.Queues[i]
		switch x := q.DeadLetterExchange; {
		case x != nil && *x != "" && !e.Exchanges[Name{q.VHost, *x}]:
			report(about(q, Finding{Severity: Critical, Finding: "the dead-letter exchange does not exist",
				Evidence: fmt.Sprintf("it is to be %q; messages that the queue gives up are lost", *x),
				Remedy:   fmt.Sprintf("brokerctl exchanges declare --vhost %q --name %q --type topic --durable, and bind a queue to it", q.VHost, *x)}))
		case x == nil && q.RejectsWithoutDeadLetters:
			report(about(q, Finding{Severity: Warning, Finding: "messages that the queue gives up are lost",
				Evidence: "it has a delivery limit or the overflow reject-publish-dlx, and no dead-letter exchange",
				Remedy:   "give it one: argument x-dead-letter-exchange or policy key dead-letter-exchange"}))
		}
	}
}

func checkPrefetch(e *Evidence, report func(Finding)) {
	for i := range e.Consumers {
		c := &e.Consumers[i]
		if !c.ManualAck || c.Prefetch > 0 {
			continue
		}
		severity := Info
		if c.Unacked >= muchUnacked {
			severity = Warning
		}
		report(Finding{Severity: severity, VHost: c.Queue.VHost, Object: c.Queue.Name,
			Finding:  "a consumer acknowledges and has no prefetch limit",
			Evidence: fmt.Sprintf("consumer %s of %s has %d deliveries not acknowledged", c.Tag, c.Connection, c.Unacked),
			Remedy:   "call basic.qos before basic.consume, with 100 to 1000: without a limit one consumer takes the whole queue into its memory"})
	}
}

func checkUnacked(e *Evidence, report func(Finding)) {
	for i := range e.Queues {
		q := &e.Queues[i]
		if q.OldestUnacked >= oldUnacked {
			report(about(q, Finding{Severity: Warning, Finding: "a delivery is not acknowledged for long",
				Evidence: fmt.Sprintf("the oldest of %d for %s", q.Unacked, q.OldestUnacked.Round(time.Second)),
				Remedy:   "look for a consumer that hangs or forgets to acknowledge; amqp.consumer_timeout ends it"}))
		} else if q.Consumers > 0 && q.Unacked >= muchUnacked && q.Unacked > 10*max(q.Ready, 1) {
			report(about(q, Finding{Severity: Warning, Finding: "deliveries that are not acknowledged pile up",
				Evidence: fmt.Sprintf("%d are not acknowledged, %d are ready", q.Unacked, q.Ready),
				Remedy:   "look for consumers that forget to acknowledge, and set a prefetch limit"}))
		}
	}
}
