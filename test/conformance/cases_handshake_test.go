package conformance

// handshakeCases are about everything before connection.open-ok.
var handshakeCases = []conformanceCase{
	{id: "R1", about: "what the broker says of itself", script: `
		dial b
		b> raw 414d515000000901
		b0< connection.start version-minor=9 server-properties={…capabilities:{…} mechanisms=… locales=en_US`},
	{id: "R5", about: "header of AMQP 0-8: the broker offers what it speaks", script: `
		dial b
		b> raw 414d515001010800
		b0< connection.start version-major=8 …`},
	{id: "R6", about: "header of AMQP 1.0", script: headerScript("414d515000010000")},
	{id: "R7", about: "header of AMQP 1.0 with SASL", script: headerScript("414d515003010000")},
	{id: "R8", about: "header of AMQP 0-9-2", script: headerScript("414d515000000902")},
	{id: "R9", about: "HTTP on the AMQP port", script: headerScript("474554202f204854")},
	{id: "R10", about: "eight octets of garbage", script: headerScript("4741524241474521")},
	{id: "R11", about: "header of AMQP 0-8 in the form of 0-9-1", script: headerScript("414d515000000800")},
	{id: "R14", about: "wrong password, and the client wants to know", script: `
		connect b password=wrong
		b0< connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (0,0)`},
	{id: "R15", about: "unknown user, and the client wants to know", script: `
		connect b user=nobody
		b0< connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (0,0)`},
	{id: "R16", about: "wrong password, and the client did not ask to be told", script: `
		connect b password=wrong bare
		b0< EOF`},
	{id: "R25", about: "unknown vhost", script: `
		connect b vhost=nope
		b0< connection.close 530 NOT_ALLOWED - vhost nope not found (10,40)`},
	{id: "R26", about: "empty vhost name", script: `
		connect b vhost=
		b0< connection.close 530 NOT_ALLOWED - vhost  not found (10,40)`},
	{id: "R38", about: "second connection.open", script: `
		> channel.flow active
		< channel.flow-ok active
		0> connection.open virtual-host=/
		0< connection.close 504 CHANNEL_ERROR - unexpected method in connection state running (10,40)`},
	{id: "R41", about: "connection.blocked sent by a client", script: `
		> channel.flow active
		< channel.flow-ok active
		0> connection.blocked reason=x
		0< connection.close 504 CHANNEL_ERROR - unexpected method in connection state running (10,60)`},
	{id: "R40", about: "connection.update-secret", script: `
		> channel.flow active
		< channel.flow-ok active
		0> connection.update-secret new-secret=guest reason=r
		0< connection.update-secret-ok`},
}

func headerScript(header string) script {
	return script("dial b\nb> raw " + header + "\nb0< header 0 0 9 1\nb0< EOF")
}
