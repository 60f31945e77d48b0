package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func checkReachable(e *Evidence, report func(Finding)) {
	voters, up := 0, 0
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if n.Voter {
			voters++
			if n.Reachable {
				up++
			}
		}
		if !n.Reachable {
			report(Finding{Severity: Critical, Node: n.Name, Finding: "node cannot be reached",
				Evidence: "there is no link to it",
				Remedy:   "start it or mend its network; if it will not come back: brokerctl cluster remove " + n.Name})
		}
	}
	if voters > 0 && up <= voters/2 {
		report(Finding{Severity: Critical, Finding: "the cluster cannot change anything",
			Evidence: fmt.Sprintf("%d of %d nodes with a vote can be reached, %d are needed", up, voters, voters/2+1),
			Remedy:   "bring the missing nodes back"})
	}
}

func checkQuorum(e *Evidence, report func(Finding)) {
	voters := 0
	for i := range e.Nodes {
		if e.Nodes[i].Voter {
			voters++
		}
	}
	switch {
	case voters == 2:
		report(Finding{Severity: Warning, Finding: "a cluster of two is less available than one node",
			Evidence: "both nodes are needed for every change", Remedy: "add a third node: brokerd --join"})
	case voters == 4:
		report(Finding{Severity: Info, Finding: "four nodes survive no more losses than three",
			Evidence: "three of four are needed for every change", Remedy: "add a fifth node, or remove one"})
	}
}

func checkAlarms(e *Evidence, report func(Finding)) {
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if len(n.Alarms) > 0 {
			report(Finding{Severity: Critical, Node: n.Name, Finding: "publishers are blocked on all nodes",
				Evidence: fmt.Sprintf("the node is short of %s: %s of %s memory used, %s disk free (alarm below %s)",
					strings.Join(n.Alarms, " and "), size(n.MemoryUsed), size(n.MemoryLimit), size(n.DiskFree), size(n.DiskMinFree)),
				Remedy: "consume or purge messages, or give the node more"})
		}
	}
}

func checkResources(e *Evidence, report func(Finding)) {
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if p := percent(n.MemoryUsed, n.MemoryLimit); p >= nearLimit {
			report(Finding{Severity: Warning, Node: n.Name, Finding: "memory is nearly used up",
				Evidence: fmt.Sprintf("%s of %s (%d%%)", size(n.MemoryUsed), size(n.MemoryLimit), p),
				Remedy:   "look for long queues and clients that do not read (brokerctl top), or raise memory.limit"})
		}
		if n.DiskMinFree > 0 && n.DiskFree < 2*n.DiskMinFree {
			report(Finding{Severity: Warning, Node: n.Name, Finding: "disk is nearly used up",
				Evidence: fmt.Sprintf("%s free, publishers are blocked below %s", size(n.DiskFree), size(n.DiskMinFree)),
				Remedy:   "consume or purge messages, or make room on the disk"})
		}
		if p := percent(n.FilesOpen, n.FilesLimit); p >= nearLimit {
			report(Finding{Severity: Warning, Node: n.Name, Finding: "file descriptors are nearly used up",
				Evidence: fmt.Sprintf("%d of %d (%d%%)", n.FilesOpen, n.FilesLimit, p),
				Remedy:   "raise the limit of open files (LimitNOFILE), or look for clients that leak connections"})
		}
	}
}

func checkReleases(e *Evidence, report func(Finding)) {
	var releases []string
	for i := range e.Nodes {
		if r := e.Nodes[i].Release; r != "" && !slices.Contains(releases, r) {
			releases = append(releases, r)
		}
	}
	if len(releases) > 1 {
		slices.Sort(releases)
		report(Finding{Severity: Info, Finding: "the nodes run different releases", Evidence: strings.Join(releases, ", "),
			Remedy: "finish the upgrade: what is new stays off until all nodes know it"})
	}
}

func checkClocks(e *Evidence, report func(Finding)) {
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if n.Clock.IsZero() {
			continue
		}
		if d := n.Clock.Sub(e.Now).Abs(); d > skew {
			report(Finding{Severity: Warning, Node: n.Name, Finding: "its clock differs",
				Evidence: fmt.Sprintf("by %s from the node that was asked", d.Round(10*time.Millisecond)),
				Remedy:   "synchronize the clocks (chrony, systemd-timesyncd): message TTL and delays go by them"})
		}
	}
}

func checkCertificates(e *Evidence, report func(Finding)) {
	for i := range e.Nodes {
		for _, c := range e.Nodes[i].Certificates {
			left := c.Expires.Sub(e.Now)
			if left > expiresSoon {
				continue
			}
			f := Finding{Severity: Warning, Node: e.Nodes[i].Name, Object: c.Subject,
				Finding:  fmt.Sprintf("the certificate of %s is about to expire", c.Use),
				Evidence: fmt.Sprintf("it expires at %s, in %d days", c.Expires.UTC().Format(time.RFC3339), int(left.Hours()/24)),
				Remedy:   "put a new certificate in its place; brokerd takes it without a restart"}
			switch {
			case left <= 0:
				f.Severity, f.Finding = Critical, fmt.Sprintf("the certificate of %s has expired", c.Use)
				f.Evidence = "it expired at " + c.Expires.UTC().Format(time.RFC3339)
			case left <= expiresVerySoon:
				f.Severity = Critical
			}
			report(f)
		}
	}
}

func checkListeners(e *Evidence, report func(Finding)) {
	for i := range e.Nodes {
		for _, l := range e.Nodes[i].OpenListeners {
			if !l.TLS && !l.Loopback {
				report(Finding{Severity: Warning, Node: e.Nodes[i].Name, Object: l.Address,
					Finding:  fmt.Sprintf("%s is served beyond this machine without TLS", l.Use),
					Evidence: "it listens on " + l.Address, Remedy: "set up TLS for it, or let only trusted networks reach it"})
			}
		}
	}
}

func checkChurn(e *Evidence, report func(Finding)) {
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if n.ConnectionsOpened >= churnFrom && n.ConnectionsOpened > churn*max(n.Connections, 1) {
			report(Finding{Severity: Warning, Node: n.Name, Finding: "connections are opened and closed all the time",
				Evidence: fmt.Sprintf("%d in the last minute, %d are open", n.ConnectionsOpened, n.Connections),
				Remedy:   "let clients keep one connection and open channels on it; a connection for each message costs a hundred times the message"})
		}
	}
}

func checkChannels(e *Evidence, report func(Finding)) {
	for i := range e.Connections {
		c := &e.Connections[i]
		if c.Channels >= manyChannels {
			report(Finding{Severity: Warning, Object: c.Name, Finding: "a connection has very many channels",
				Evidence: fmt.Sprintf("%d channels of user %s", c.Channels, c.User),
				Remedy:   "look for channels that are opened for each operation and not closed"})
		}
	}
}
