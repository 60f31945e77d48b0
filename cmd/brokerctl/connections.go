package main

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) connectionsCommand() *cobra.Command {
	return a.noun("connections", "connection", "Client connections", a.connectionsList(), a.connectionsShow(), a.connectionsClose())
}

var connectionColumns = output.Columns[*adminv1.Connection]{
	{Name: "name", Get: func(x *adminv1.Connection) any { return x.GetName() }},
	{Name: "client_name", Get: func(x *adminv1.Connection) any { return x.GetClientName() }},
	{Name: "vhost", Get: func(x *adminv1.Connection) any { return x.GetVhost() }},
	{Name: "user", Get: func(x *adminv1.Connection) any { return x.GetUser() }},
	{Name: "state", Get: func(x *adminv1.Connection) any { return enum(x.GetState().String(), "CONNECTION_STATE_") }},
	{Name: "channels", Get: func(x *adminv1.Connection) any { return x.GetChannels() }},
	{Name: "tls", Get: func(x *adminv1.Connection) any { return x.GetTls() }},
	{Name: "receive_rate", Get: func(x *adminv1.Connection) any { return rounded(x.GetReceiveRate()) }},
	{Name: "send_rate", Get: func(x *adminv1.Connection) any { return rounded(x.GetSendRate()) }},
	{Name: "node", Get: func(x *adminv1.Connection) any { return x.GetNode() }, Extra: true},
	{Name: "peer_address", Get: func(x *adminv1.Connection) any { return x.GetPeerAddress() }, Extra: true},
	{Name: "local_address", Get: func(x *adminv1.Connection) any { return x.GetLocalAddress() }, Extra: true},
	{Name: "connected", Get: func(x *adminv1.Connection) any { return moment(x.GetConnected()) }, Extra: true},
	{Name: "mechanism", Get: func(x *adminv1.Connection) any { return x.GetMechanism() }, Extra: true},
	{Name: "heartbeat", Get: func(x *adminv1.Connection) any { return x.GetHeartbeatSeconds() }, Extra: true},
	{Name: "frame_max", Get: func(x *adminv1.Connection) any { return x.GetFrameMax() }, Extra: true},
	{Name: "channel_max", Get: func(x *adminv1.Connection) any { return x.GetChannelMax() }, Extra: true},
	{Name: "received_bytes", Get: func(x *adminv1.Connection) any { return x.GetReceivedBytes() }, Extra: true},
	{Name: "sent_bytes", Get: func(x *adminv1.Connection) any { return x.GetSentBytes() }, Extra: true},
	{Name: "client_properties", Get: func(x *adminv1.Connection) any { return ctl.PlainTable(x.GetClientProperties()) }, Extra: true},
	{Name: "messages", Get: func(x *adminv1.Connection) any { return countsObject(x.GetMessages()) }, Extra: true},
}

// rounded leaves one digit behind the point of a rate.
func rounded(f float64) float64 { return float64(int64(f*10+0.5)) / 10 }

func countsObject(m *adminv1.MessageCounts) output.Object {
	return output.Object{
		{Name: "published", Value: m.GetPublished()},
		{Name: "confirmed", Value: m.GetConfirmed()},
		{Name: "returned", Value: m.GetReturned()},
		{Name: "dropped", Value: m.GetDropped()},
		{Name: "delivered", Value: m.GetDelivered()},
		{Name: "got", Value: m.GetGot()},
		{Name: "acknowledged", Value: m.GetAcknowledged()},
		{Name: "rejected", Value: m.GetRejected()},
	}
}

func (c *call) connections() adminv1.ConnectionServiceClient {
	return adminv1.NewConnectionServiceClient(c.conn)
}

// connectionPages lists connections; request is changed.
func (c *call) connectionPages(request *adminv1.ListConnectionsRequest) fetcher[*adminv1.Connection] {
	return func(token string) (page[*adminv1.Connection], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.connections().ListConnections(c.ctx, request)
		return page[*adminv1.Connection]{r.GetConnections(), r.GetNextPageToken(), r.GetUnreachableNodes()}, err
	}
}

func (a *app) connectionsList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List connections of all virtual hosts, or of one with --vhost",
		columns: connectionColumns.Names(),
		example: "brokerctl connections list\nbrokerctl connections list --of-user guest --columns name,user,state,connected",
		flags: func(fs *pflag.FlagSet) {
			filterFlags(fs, "name")
			fs.String("of-user", "", "only those of this user")
		},
		run: func(c *call) error {
			return list(c, connectionColumns, c.connectionPages(&adminv1.ListConnectionsRequest{Vhost: c.chosenVHost(),
				User: c.text("of-user"), NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}))
		},
	})
}

func (a *app) connectionsShow() *cobra.Command {
	return a.verb(verb{
		use: "show NAME", short: "Show a connection",
		example: "brokerctl connections show CONNECTION",
		args:    atMost(1, "one name"), complete: completeConnections,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "connection") },
		run: func(c *call) error {
			name, err := c.name("connection")
			if err != nil {
				return err
			}
			return c.repeat(func(w io.Writer) error {
				r, err := c.connections().GetConnection(c.ctx, &adminv1.GetConnectionRequest{Name: name})
				if err != nil {
					return err
				}
				return c.showIn(w, connectionColumns.Object(r.GetConnection()))
			})
		},
	})
}

func (a *app) connectionsClose() *cobra.Command {
	return a.verb(verb{
		use: "close NAME", short: "Close a connection, or all of a user or virtual host",
		long: "close closes connections with 320 (CONNECTION_FORCED) and a reason. Without a name, --of-user, --vhost or --all say which.",
		example: "brokerctl connections close CONNECTION --reason 'please update' --yes\n" +
			"brokerctl connections close --of-user app --yes\n" +
			"brokerctl connections close --all --reason maintenance --yes",
		args: atMost(1, "one name"), complete: completeConnections,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "connection")
			fs.String("reason", "", "what the client is told")
			fs.String("of-user", "", "all connections of this user")
			fs.Bool("all", false, "all connections")
		},
		run: func(c *call) error {
			name, err := c.optionalName()
			if err != nil {
				return err
			}
			r := &adminv1.CloseConnectionsRequest{Vhost: c.chosenVHost(), User: c.text("of-user"), Reason: c.text("reason"), All: c.bool("all")}
			several := r.Vhost != "" || r.User != "" || r.All
			switch {
			case name == "" && !several:
				return usagef("name the connection, or say which with --of-user, --vhost or --all")
			case name != "" && several:
				return usagef("the connection %q and --of-user, --vhost or --all are both given; use one", name)
			case r.All && (r.Vhost != "" || r.User != ""):
				return usagef("--all and --of-user or --vhost are both given; use one")
			case name != "":
				return c.closeOne(name, r.Reason)
			}
			if err := c.confirm("Close these connections"); err != nil {
				return err
			}
			closed, err := c.closeConnections(r)
			if err != nil {
				return err
			}
			return c.done(output.Object{{Name: "closed", Value: closed}}, "closed %d connections", closed)
		},
	})
}

func (c *call) closeOne(name, reason string) error {
	if err := c.confirm("Close connection %q", name); err != nil {
		return err
	}
	if err := c.closeConnection(name, reason); err != nil {
		return err
	}
	return c.done(output.Object{{Name: "closed", Value: 1}}, "closed connection %q", name)
}

func (c *call) closeConnection(name, reason string) error {
	_, err := c.connections().CloseConnection(c.ctx, &adminv1.CloseConnectionRequest{Name: name, Reason: reason})
	return err
}

// closeConnections closes what the request says and warns of nodes that did not answer.
func (c *call) closeConnections(r *adminv1.CloseConnectionsRequest) (closed uint64, _ error) {
	done, err := c.connections().CloseConnections(c.ctx, r)
	if err != nil {
		return 0, err
	}
	if nodes := done.GetUnreachableNodes(); len(nodes) > 0 {
		c.warnUnreachable(nodes)
		return done.GetClosed(), ctl.Problemf(ctl.ExitTemporary, "closed %d connections, but those to nodes that did not answer are open", done.GetClosed())
	}
	return done.GetClosed(), nil
}
