package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) limitsCommand() *cobra.Command {
	return a.noun("limits", "limit", "Limits of virtual hosts and users", a.limitsList(), a.limitsSet(), a.limitsClear())
}

// limit is one limit of a virtual host or user.
type limit struct {
	kind, name, limit string
	value             int64
}

var limitColumns = output.Columns[limit]{
	{Name: "kind", Get: func(l limit) any { return l.kind }},
	{Name: "name", Get: func(l limit) any { return l.name }},
	{Name: "limit", Get: func(l limit) any { return l.limit }},
	{Name: "value", Get: func(l limit) any { return l.value }},
}

// Kinds of what has limits.
const (
	kindVHost = "vhost"
	kindUser  = "user"
)

func (c *call) limits() adminv1.LimitServiceClient { return adminv1.NewLimitServiceClient(c.conn) }

// limitsOf makes a row of each limit.
func limitsOf(kind, name string, limits map[string]int64) []limit {
	var list []limit
	for l, value := range limits {
		list = append(list, limit{kind, name, l, value})
	}
	slices.SortFunc(list, func(a, b limit) int { return strings.Compare(a.limit, b.limit) })
	return list
}

// vhostLimitPages lists the limits of a virtual host, or of all.
func (c *call) vhostLimitPages(vhost string) fetcher[limit] {
	return func(token string) (page[limit], error) {
		r, err := c.limits().ListVHostLimits(c.ctx, &adminv1.ListVHostLimitsRequest{PageSize: pageSize, PageToken: token, Vhost: vhost})
		p := page[limit]{next: r.GetNextPageToken()}
		for _, l := range r.GetLimits() {
			p.items = append(p.items, limitsOf(kindVHost, l.GetVhost(), l.GetLimits())...)
		}
		return p, err
	}
}

// userLimitPages lists the limits of a user, or of all.
func (c *call) userLimitPages(user string) fetcher[limit] {
	return func(token string) (page[limit], error) {
		r, err := c.limits().ListUserLimits(c.ctx, &adminv1.ListUserLimitsRequest{PageSize: pageSize, PageToken: token, User: user})
		p := page[limit]{next: r.GetNextPageToken()}
		for _, l := range r.GetLimits() {
			p.items = append(p.items, limitsOf(kindUser, l.GetUser(), l.GetLimits())...)
		}
		return p, err
	}
}

// chained lists what the first returns and then what the second returns. Pages of the second have tokens that begin with a mark.
func chained[T any](first, second fetcher[T]) fetcher[T] {
	const mark = "\x00"
	return func(token string) (page[T], error) {
		if rest, ok := strings.CutPrefix(token, mark); ok {
			p, err := second(rest)
			if p.next != "" {
				p.next = mark + p.next
			}
			return p, err
		}
		p, err := first(token)
		if p.next == "" {
			p.next = mark
		}
		return p, err
	}
}

func (a *app) limitsList() *cobra.Command {
	return a.verb(verb{
		use: "list [vhost|user] [NAME]", aliases: []string{"ls"}, short: "List the limits of virtual hosts and users",
		columns: limitColumns.Names(),
		example: "brokerctl limits list\nbrokerctl limits list user app --output json",
		args:    atMost(2, "a kind and a name"),
		run: func(c *call) error {
			kind, name := "", ""
			if len(c.args) > 0 {
				kind = c.args[0]
			}
			if len(c.args) > 1 {
				name = c.args[1]
			}
			switch kind {
			case "":
				return list(c, limitColumns, chained(c.vhostLimitPages(c.chosenVHost()), c.userLimitPages("")))
			case kindVHost:
				if name == "" {
					name = c.chosenVHost()
				}
				return list(c, limitColumns, c.vhostLimitPages(name))
			case kindUser:
				return list(c, limitColumns, c.userLimitPages(name))
			}
			return usagef("limits are of a vhost or a user, not of a %q", kind)
		},
	})
}

// limitTarget reads vhost|user [NAME]; without a name a virtual host is that of --vhost.
func (c *call) limitTarget() (kind, name string, rest []string, _ error) {
	if len(c.args) == 0 || c.args[0] != kindVHost && c.args[0] != kindUser {
		return "", "", nil, usagef("say whose limits: %s vhost|user NAME", c.cmd.CommandPath())
	}
	kind, rest = c.args[0], c.args[1:]
	if len(rest) > 0 && !strings.Contains(rest[0], "=") {
		return kind, rest[0], rest[1:], nil
	}
	if kind == kindUser {
		return "", "", nil, usagef("name the user: %s user NAME", c.cmd.CommandPath())
	}
	return kind, c.vhost, rest, nil
}

func (a *app) limitsSet() *cobra.Command {
	return a.verb(verb{
		use: "set vhost|user NAME LIMIT=VALUE...", short: "Set limits of a virtual host or user and leave the others",
		long: "set sets max-connections and max-queues of a virtual host, or max-connections and max-channels of a user. 0 allows none, a\n" +
			"negative value takes the limit away.",
		example: "brokerctl limits set vhost / max-connections=1000 max-queues=5000\nbrokerctl limits set user app max-channels=200",
		args:    cobra.ArbitraryArgs,
		run: func(c *call) error {
			kind, name, rest, err := c.limitTarget()
			if err != nil {
				return err
			}
			limits := map[string]int64{}
			for _, arg := range rest {
				l, value, ok := strings.Cut(arg, "=")
				n, err := strconv.ParseInt(value, 10, 64)
				if !ok || l == "" || err != nil {
					return usagef("%q is not LIMIT=NUMBER, such as max-connections=100", arg)
				}
				limits[l] = n
			}
			if len(limits) == 0 {
				return usagef("give at least one limit, such as max-connections=100")
			}
			if err := c.setLimits(kind, name, limits); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "kind", Value: kind}, {Name: "name", Value: name}}, "set limits of %s %q", kind, name)
		},
	})
}

func (c *call) setLimits(kind, name string, limits map[string]int64) error {
	var err error
	if kind == kindUser {
		_, err = c.limits().SetUserLimits(c.ctx, &adminv1.SetUserLimitsRequest{Limits: &adminv1.UserLimits{User: name, Limits: limits}})
	} else {
		_, err = c.limits().SetVHostLimits(c.ctx, &adminv1.SetVHostLimitsRequest{Limits: &adminv1.VHostLimits{Vhost: name, Limits: limits}})
	}
	return err
}

func (a *app) limitsClear() *cobra.Command {
	return a.verb(verb{
		use: "clear vhost|user NAME", short: "Take all limits of a virtual host or user away",
		example: "brokerctl limits clear user app",
		args:    cobra.ArbitraryArgs,
		run: func(c *call) error {
			kind, name, rest, err := c.limitTarget()
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return usagef("%q is left over: clear takes all limits away", rest[0])
			}
			if err := c.clearLimits(kind, name); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "kind", Value: kind}, {Name: "name", Value: name}}, "%s %q has no limits now", kind, name)
		},
	})
}

func (c *call) clearLimits(kind, name string) error {
	var err error
	if kind == kindUser {
		_, err = c.limits().ClearUserLimits(c.ctx, &adminv1.ClearUserLimitsRequest{User: name})
	} else {
		_, err = c.limits().ClearVHostLimits(c.ctx, &adminv1.ClearVHostLimitsRequest{Vhost: name})
	}
	return err
}
