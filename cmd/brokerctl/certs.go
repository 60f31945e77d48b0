package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/brokerd/brokerd/internal/certs"
)

func certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make certificates for a test cluster",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(certsCreateCommand())
	return cmd
}

// maxCertDays bounds --days: dates beyond 2050 are written in another way, which some clients do not read.
const maxCertDays = 7300

func certsCreateCommand() *cobra.Command {
	r := certs.Request{Hosts: []string{"localhost", "127.0.0.1", "::1"}}
	days := 365
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a certificate authority, and certificates for nodes and clients",
		Long: "create makes a certificate authority and, signed by it, a certificate for each node (good for servers and clients) and\n" +
			"for each client (its common name is the user for SASL EXTERNAL), and prints what to put into the configuration. An\n" +
			"authority that an earlier call has left in the directory is used again. No file is overwritten.\n" +
			"Whoever can read ca-key.pem can pretend to be any node and any user: for more than tests, use your own authority.",
		Example: "  brokerctl certs create\n" +
			"  brokerctl certs create --out certs --node n1 --node n2 --node n3 --host broker.example --client app",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if days < 1 || days > maxCertDays {
				return &usageError{fmt.Errorf("--days %d is not within 1 and %d", days, maxCertDays)}
			}
			if len(r.Nodes)+len(r.Clients) == 0 {
				r.Nodes = []string{"node1"}
			}
			r.Valid = time.Duration(days) * 24 * time.Hour
			created, err := certs.Create(r)
			if err != nil {
				return err
			}
			return printCerts(cmd.OutOrStdout(), created)
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	s.StringVar(&r.Dir, "out", "certs", "directory to write to")
	s.StringArrayVar(&r.Nodes, "node", nil, "node to make a certificate for, repeatable (node1 if neither a node nor a client is given)")
	s.StringArrayVar(&r.Clients, "client", nil, "user to make a client certificate for, repeatable")
	s.StringArrayVar(&r.Hosts, "host", r.Hosts, "DNS name or IP address that clients reach the nodes by, repeatable")
	s.IntVar(&days, "days", days, "how long the certificates are good")
	return cmd
}

// printCerts says what was made and what to do with it.
func printCerts(w io.Writer, c *certs.Created) error {
	absolute := func(path string) string {
		if a, err := filepath.Abs(path); err == nil {
			return a
		}
		return path
	}
	var err error
	print := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	if c.ReusedCA {
		print("authority %s (as it was)\n", c.CA)
	} else {
		print("authority %s\n", c.CA)
	}
	for _, p := range c.Nodes {
		print("node      %s\n", p.Cert)
	}
	for _, p := range c.Clients {
		print("client    %s\n", p.Cert)
	}
	for _, p := range c.Nodes {
		print("\n# configuration of %s\namqp:\n  tls:\n    listen: [\":5671\"]\n    cert: %q\n    key: %q\n    ca: %q\n    client_certs: request\n",
			p.Name, absolute(p.Cert), absolute(p.Key), absolute(c.CA))
	}
	for _, p := range c.Clients {
		print("\n# client %s: trust %q, show %q with key %q, log in with EXTERNAL\n",
			p.Name, absolute(c.CA), absolute(p.Cert), absolute(p.Key))
	}
	return err
}
