package conformance

// Rows of the recorded traces: the handshake.
var connectionTraces = []conformanceCase{
	{id: "R3", about: "connection.open-ok, connection.close", script: `
		0> connection.open virtual-host=/
		0< connection.open-ok
		0> connection.close reply-code=200 reply-text=bye
		0< connection.close-ok`},
	{id: "R25", about: "unknown vhost", script: `
		0> connection.open virtual-host=nope
		0< connection.close 530 NOT_ALLOWED - vhost nope not found (10,40)`},
	{id: "R26", about: "empty vhost name", script: `
		0> connection.open
		0< connection.close 530 NOT_ALLOWED - vhost  not found (10,40)`},
	{id: "R35", about: "more channels open than channel_max (channel_max 2, numbers 1, 2, 3)", script: `
		0< connection.close 530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2) (0,0)`},
	{id: "R38", about: "second connection.open", script: `
		0> connection.open virtual-host=/
		0< connection.close 504 CHANNEL_ERROR - unexpected method in connection state running (10,40)`},
	{id: "R41", about: "connection.blocked sent by a client", script: `
		0> connection.blocked reason=x
		0< connection.close 504 CHANNEL_ERROR - unexpected method in connection state running (10,60)`},
}
