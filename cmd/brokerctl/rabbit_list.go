package main

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

// renamed returns columns under other names, with more behind them; a column whose new name is empty keeps its old one.
func renamed[T any](columns output.Columns[T], names map[string]string, more ...output.Column[T]) output.Columns[T] {
	list := make(output.Columns[T], 0, len(columns)+len(more))
	for _, c := range columns {
		if name := names[c.Name]; name != "" {
			c.Name = name
		}
		list = append(list, c)
	}
	return append(list, more...)
}

var rabbitQueueColumns = renamed(queueColumns, nil,
	output.Column[*adminv1.Queue]{Name: "node", Get: func(q *adminv1.Queue) any { return q.GetLeader() }},
	output.Column[*adminv1.Queue]{Name: "pid", Get: func(q *adminv1.Queue) any { return fmt.Sprintf("<%s.%d>", q.GetLeader(), q.GetId()) }},
)

var rabbitBindingColumns = renamed(bindingColumns, map[string]string{"source": "source_name", "destination": "destination_name",
	"destination_type": "destination_kind"},
	output.Column[*adminv1.Binding]{Name: "source_kind", Get: func(*adminv1.Binding) any { return "exchange" }})

var rabbitConnectionColumns = renamed(connectionColumns, map[string]string{"tls": "ssl", "mechanism": "auth_mechanism", "heartbeat": "timeout",
	"received_bytes": "recv_oct", "sent_bytes": "send_oct"},
	addressColumn("peer_host", (*adminv1.Connection).GetPeerAddress, 0),
	addressColumn("peer_port", (*adminv1.Connection).GetPeerAddress, 1),
	addressColumn("host", (*adminv1.Connection).GetLocalAddress, 0),
	addressColumn("port", (*adminv1.Connection).GetLocalAddress, 1),
	output.Column[*adminv1.Connection]{Name: "user_provided_name", Get: func(x *adminv1.Connection) any { return x.GetClientName() }},
	output.Column[*adminv1.Connection]{Name: "pid", Get: func(x *adminv1.Connection) any { return x.GetName() }},
	output.Column[*adminv1.Connection]{Name: "protocol", Get: func(*adminv1.Connection) any { return "{0,9,1}" }},
	output.Column[*adminv1.Connection]{Name: "connected_at", Get: func(x *adminv1.Connection) any { return x.GetConnected().AsTime().UnixMilli() }},
)

// addressColumn is the host (part 0) or port (part 1) of an address.
func addressColumn(name string, address func(*adminv1.Connection) string, part int) output.Column[*adminv1.Connection] {
	return output.Column[*adminv1.Connection]{Name: name, Get: func(x *adminv1.Connection) any {
		host, port, err := net.SplitHostPort(address(x))
		switch {
		case err != nil && part == 0:
			return address(x)
		case part == 0:
			return host
		}
		return port
	}}
}

var rabbitChannelColumns = renamed(channelColumns, map[string]string{"consumers": "consumer_count", "prefetch": "prefetch_count",
	"global_prefetch": "global_prefetch_count", "confirms": "confirm"},
	output.Column[*adminv1.Channel]{Name: "pid", Get: func(x *adminv1.Channel) any { return channelName(x.GetConnection(), x.GetNumber()) }},
	output.Column[*adminv1.Channel]{Name: "name", Get: func(x *adminv1.Channel) any { return channelName(x.GetConnection(), x.GetNumber()) }},
)

// channelName is what RabbitMQ calls a channel.
func channelName(connection string, number uint32) string {
	return fmt.Sprintf("%s (%d)", connection, number)
}

var rabbitConsumerColumns = renamed(consumerColumns, map[string]string{"queue": "queue_name", "tag": "consumer_tag", "prefetch": "prefetch_count"},
	output.Column[*adminv1.Consumer]{Name: "channel_pid", Get: func(x *adminv1.Consumer) any { return channelName(x.GetConnection(), x.GetChannel()) }},
	output.Column[*adminv1.Consumer]{Name: "active", Get: func(*adminv1.Consumer) any { return true }},
)

var rabbitUserColumns = output.Columns[*adminv1.User]{
	{Name: "user", Get: func(u *adminv1.User) any { return u.GetName() }},
	{Name: "tags", Get: func(u *adminv1.User) any { return tagList(u.GetTags()) }},
}

// tagList is written [a, b] in text and as a list in JSON.
func tagList(tags []string) any { return rabbitTags(tags) }

// rabbitTags prints as rabbitmqctl does.
type rabbitTags []string

// String implements fmt.Stringer.
func (t rabbitTags) String() string { return "[" + strings.Join(t, ", ") + "]" }

// MarshalJSON implements json.Marshaler.
func (t rabbitTags) MarshalJSON() ([]byte, error) {
	if t == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]string(t))
}

var rabbitPolicyColumns = renamed(policyColumns, map[string]string{"apply_to": "apply-to"})

var rabbitVHostColumns = output.Columns[*adminv1.VHost]{
	{Name: "name", Get: func(v *adminv1.VHost) any { return v.GetName() }},
	{Name: "tracing", Get: func(v *adminv1.VHost) any { return v.GetTracing() }},
	{Name: "description", Get: func(v *adminv1.VHost) any { return v.GetDescription() }},
	{Name: "tags", Get: func(v *adminv1.VHost) any { return tagList(v.GetTags()) }},
	{Name: "default_queue_type", Get: func(v *adminv1.VHost) any { return v.GetDefaultQueueType() }},
	{Name: "protected_from_deletion", Get: func(v *adminv1.VHost) any { return v.GetProtected() }},
	{Name: "cluster_state", Get: func(*adminv1.VHost) any { return "running" }},
}

// rabbitLists are the list_ commands.
func (a *app) rabbitLists() []*cobra.Command {
	columns := cobra.ArbitraryArgs
	return []*cobra.Command{
		a.rabbit(rabbitVerb{use: "list_queues [COLUMN...]", short: "queues list", args: columns,
			example: "brokerctl list_queues -q name messages consumers\nbrokerctl -q list_queues -p / --no-table-headers name messages_ready",
			flags: func(fs *pflag.FlagSet) {
				for _, name := range []string{"online", "offline", "local"} {
					fs.Bool(name, false, "only those whose leader is "+map[string]string{"online": "reachable", "offline": "not reachable", "local": "the node that is asked"}[name])
				}
			},
			run: rabbitListQueues}),
		a.rabbit(rabbitVerb{use: "list_exchanges [COLUMN...]", short: "exchanges list", args: columns, example: "brokerctl list_exchanges name type durable",
			run: func(c *call) error {
				return rabbitList(c, exchangeColumns, []string{"name", "type"}, c.exchangePages(&adminv1.ListExchangesRequest{Vhost: c.vhost}),
					"Listing exchanges for vhost %s ...", c.vhost)
			}}),
		a.rabbit(rabbitVerb{use: "list_bindings [COLUMN...]", short: "bindings list", args: columns, example: "brokerctl list_bindings -q source_name destination_name routing_key",
			run: func(c *call) error {
				return rabbitList(c, rabbitBindingColumns, []string{"source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"},
					c.bindingPages(&adminv1.ListBindingsRequest{Vhost: c.vhost}), "Listing bindings for vhost %s...", c.vhost)
			}}),
		a.rabbit(rabbitVerb{use: "list_connections [COLUMN...]", short: "connections list", args: columns, example: "brokerctl list_connections user peer_host peer_port state",
			run: func(c *call) error {
				return rabbitList(c, rabbitConnectionColumns, []string{"user", "peer_host", "peer_port", "state"},
					c.connectionPages(&adminv1.ListConnectionsRequest{Vhost: c.chosenVHost()}), "Listing connections ...")
			}}),
		a.rabbit(rabbitVerb{use: "list_channels [COLUMN...]", short: "channels list", args: columns, example: "brokerctl list_channels connection number consumer_count",
			run: func(c *call) error {
				return rabbitList(c, rabbitChannelColumns, []string{"pid", "user", "consumer_count", "messages_unacknowledged"},
					c.channelPages(&adminv1.ListChannelsRequest{Vhost: c.chosenVHost()}), "Listing channels ...")
			}}),
		a.rabbit(rabbitVerb{use: "list_consumers [COLUMN...]", short: "consumers list", args: columns, example: "brokerctl list_consumers queue_name consumer_tag",
			run: func(c *call) error {
				return rabbitList(c, rabbitConsumerColumns, []string{"queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active", "arguments"},
					c.consumerPages(&adminv1.ListConsumersRequest{Vhost: c.vhost}), "Listing consumers in vhost %s ...", c.vhost)
			}}),
		a.rabbit(rabbitVerb{use: "list_users", short: "users list", example: "brokerctl list_users -q",
			run: func(c *call) error {
				return rabbitList(c, rabbitUserColumns, []string{"user", "tags"}, c.userPages(&adminv1.ListUsersRequest{}), "Listing users ...")
			}}),
		a.rabbit(rabbitVerb{use: "list_vhosts [COLUMN...]", short: "vhosts list", args: columns, example: "brokerctl list_vhosts -s name",
			run: func(c *call) error {
				return rabbitList(c, rabbitVHostColumns, []string{"name"}, c.vhostPages(&adminv1.ListVHostsRequest{}), "Listing vhosts ...")
			}}),
		a.rabbit(rabbitVerb{use: "list_permissions", short: "permissions list", example: "brokerctl list_permissions -p /",
			run: func(c *call) error {
				return rabbitList(c, permissionColumns, []string{"user", "configure", "write", "read"},
					c.permissionPages(&adminv1.ListPermissionsRequest{Vhost: c.vhost}), "Listing permissions for vhost \"%s\" ...", c.vhost)
			}}),
		a.rabbit(rabbitVerb{use: "list_user_permissions USER", short: "permissions list USER", args: atMost(1, "one user"), example: "brokerctl list_user_permissions guest",
			run: func(c *call) error {
				args, err := c.need("USER")
				if err != nil {
					return err
				}
				c.args = nil
				return rabbitList(c, permissionColumns, []string{"vhost", "configure", "write", "read"},
					c.permissionPages(&adminv1.ListPermissionsRequest{User: args[0]}), "Listing permissions for user \"%s\" ...", args[0])
			}}),
		a.rabbit(rabbitVerb{use: "list_topic_permissions", short: "permissions topic list", example: "brokerctl list_topic_permissions -p /",
			run: func(c *call) error {
				return rabbitList(c, topicPermissionColumns, []string{"user", "exchange", "write", "read"},
					c.topicPermissionPages(&adminv1.ListTopicPermissionsRequest{Vhost: c.vhost}), "Listing topic permissions for vhost \"%s\" ...", c.vhost)
			}}),
		a.rabbit(rabbitVerb{use: "list_policies", short: "policies list --operator=false", example: "brokerctl list_policies -p /",
			run: func(c *call) error { return c.rabbitPolicies(false, "Listing policies for vhost \"%s\" ...") }}),
		a.rabbit(rabbitVerb{use: "list_operator_policies", short: "policies list --operator", example: "brokerctl list_operator_policies",
			run: func(c *call) error {
				return c.rabbitPolicies(true, "Listing operator policy overrides for vhost \"%s\" ...")
			}}),
		a.rabbit(rabbitVerb{use: "list_parameters", short: "parameters list", example: "brokerctl list_parameters",
			run: func(c *call) error {
				return rabbitList(c, parameterColumns, []string{"component", "name", "value"},
					c.parameterPages(&adminv1.ListParametersRequest{Vhost: c.vhost}), "Listing runtime parameters for vhost \"%s\" ...", c.vhost)
			}}),
		a.rabbit(rabbitVerb{use: "list_global_parameters", short: "parameters list --global", example: "brokerctl list_global_parameters",
			run: func(c *call) error {
				return rabbitList(c, parameterColumns, []string{"name", "value"},
					c.parameterPages(&adminv1.ListParametersRequest{Global: true}), "Listing global runtime parameters ...")
			}}),
		a.rabbit(rabbitVerb{use: "list_vhost_limits", short: "limits list vhost", example: "brokerctl list_vhost_limits",
			run: func(c *call) error {
				return rabbitList(c, limitColumns, []string{"name", "limit", "value"}, c.vhostLimitPages(c.chosenVHost()), "Listing limits of vhosts ...")
			}}),
		a.rabbit(rabbitVerb{use: "list_user_limits", short: "limits list user", example: "brokerctl list_user_limits",
			flags: func(fs *pflag.FlagSet) { fs.String("of-user", "", "only those of this user") },
			run: func(c *call) error {
				return rabbitList(c, limitColumns, []string{"name", "limit", "value"}, c.userLimitPages(c.text("of-user")), "Listing limits of users ...")
			}}),
	}
}

func rabbitListQueues(c *call) error {
	r := &adminv1.ListQueuesRequest{Vhost: c.vhost, LocalOnly: c.bool("local")}
	fetch := c.queuePages(r)
	if online, offline := c.bool("online"), c.bool("offline"); online != offline {
		all := fetch
		fetch = func(token string) (page[*adminv1.Queue], error) {
			p, err := all(token)
			var kept []*adminv1.Queue
			for _, q := range p.items {
				if (q.GetState() == adminv1.QueueState_QUEUE_STATE_DOWN) == offline {
					kept = append(kept, q)
				}
			}
			p.items = kept
			return p, err
		}
	}
	if err := c.say("Timeout: 60.0 seconds ..."); err != nil {
		return err
	}
	return rabbitList(c, rabbitQueueColumns, []string{"name", "messages"}, fetch, "Listing queues for vhost %s ...", c.vhost)
}

func (c *call) rabbitPolicies(operator bool, heading string) error {
	return rabbitList(c, rabbitPolicyColumns, []string{"vhost", "name", "pattern", "apply-to", "definition", "priority"},
		c.policyPages(&adminv1.ListPoliciesRequest{Vhost: c.vhost, Operator: &operator}), heading, c.vhost)
}

// rabbitLimits reads the JSON object of set_vhost_limits and set_user_limits.
func rabbitLimits(definition string) (map[string]int64, error) {
	t, err := ctl.ParseTable([]byte(definition))
	if err != nil {
		return nil, ctl.Problemf(ctl.ExitData, "the limits %w", err)
	}
	limits := make(map[string]int64, len(t))
	for name, v := range t {
		if _, ok := v.GetKind().(*adminv1.Value_IntValue); !ok {
			return nil, ctl.Problemf(ctl.ExitData, "the limit %s is not a whole number", name)
		}
		limits[name] = v.GetIntValue()
	}
	return limits, nil
}
