package conformance

// Rows of the recorded traces: channels and connection errors.
var channelTraces = []conformanceCase{
	{id: "R47", about: "channel.open twice", script: `
		> channel.open
		< channel.open-ok
		> channel.open
		0< connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)`},
	{id: "R48", about: "method on a channel never opened", script: `
		> queue.declare queue=q unopened
		0< connection.close 504 CHANNEL_ERROR - expected 'channel.open' (50,10)`},
	{id: "R49", about: "channel.open on channel 0", script: `
		0> channel.open
		0< connection.close 504 CHANNEL_ERROR - unexpected method in connection state running (20,10)`},
	{id: "R50", about: "basic.publish on channel 0", script: `
		0> basic.publish
		0< connection.close 504 CHANNEL_ERROR - unexpected method in connection state running (60,40)`},
	{id: "R51", about: "connection.close on channel 1", script: `
		> connection.close reply-code=200 reply-text=x
		0< connection.close 503 COMMAND_INVALID - unimplemented method (10,50)`},
	{id: "R52", about: "channel.close by client, then reuse of the number", script: `
		> channel.open
		< channel.open-ok
		> channel.close reply-code=200 reply-text=bye
		< channel.close-ok
		> channel.open
		< channel.open-ok`},
	{id: "R53", about: "after a server channel.close: methods are ignored until close-ok, then the number can be reused", script: `
		> channel.open
		< channel.open-ok
		> queue.declare queue=missing passive
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)
		> queue.declare exclusive
		> channel.close-ok
		> channel.open
		< channel.open-ok
		> basic.qos prefetch-count=1
		< basic.qos-ok`},
	{id: "R54", about: "after a server channel.close: channel.open without close-ok", script: `
		> channel.open
		< channel.open-ok
		> queue.declare queue=missing passive
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)
		> channel.open
		0< connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)`},
	{id: "R55", about: "after a server channel.close: client sends channel.close too", script: `
		> channel.open
		< channel.open-ok
		> queue.declare queue=missing passive
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)
		> channel.close reply-code=200 reply-text=x
		< channel.close-ok
		> channel.open
		0< connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)`},
	{id: "R56", about: "method on a channel after channel.close / close-ok", script: `
		> channel.close reply-code=200 reply-text=bye
		< channel.close-ok
		> basic.qos prefetch-count=1
		0< connection.close 504 CHANNEL_ERROR - expected 'channel.open' (60,10)`},
	{id: "R57", about: "channel error leaves other channels alone", script: `
		> queue.declare queue=missing passive
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)
		2> basic.qos prefetch-count=1
		2< basic.qos-ok`},
	{id: "R58", about: "channel.close-ok never asked for", script: `
		> channel.close-ok
		0< connection.close 503 COMMAND_INVALID - unimplemented method (20,41)`},
	{id: "R59", about: "channel.flow active=true", script: `
		> channel.flow active
		< channel.flow-ok active`},
	{id: "R60", about: "channel.flow active=false", script: `
		> channel.flow
		0< connection.close 540 NOT_IMPLEMENTED - active=false (20,20)`},
	{id: "R61", about: "access.request", script: `
		> access.request
		< access.request-ok ticket=1`},
	{id: "R62", about: "after a connection error: what follows close / close-ok", script: `
		> channel.open
		< channel.open-ok
		> channel.open
		0< connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)`},
	{id: "R63", about: "after a connection error: client sends no close-ok (wait 4 s)", script: `
		> channel.open
		< channel.open-ok
		> channel.open
		0< connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20,10)`},
}
