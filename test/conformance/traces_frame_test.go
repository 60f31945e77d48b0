package conformance

// Rows of the recorded traces: frames.
var frameTraces = []conformanceCase{
	{id: "R64", about: "wrong frame-end octet", script: `
		> raw 0100010000000b003c000a0000000000000000
		0< connection.close 501 FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>: {invalid_frame_end_marker,0} (0,0)`},
	{id: "R65", about: "unknown frame type 7", script: `
		> raw 07000100000003616263ce
		0< connection.close 501 FRAME_ERROR - type 7, all octets = <<"abc">>: unknown_frame (0,0)`},
	{id: "R66", about: "unknown frame type 4 on channel 0", script: `
		> raw 04000000000000ce
		0< connection.close 501 FRAME_ERROR - type 4, all octets = <<>>: unknown_frame (0,0)`},
	{id: "R70", about: "content header without a method", script: `
		> raw 0200010000000e003c000000000000000000010000ce
		0< connection.close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)`},
	{id: "R71", about: "body without header and method", script: `
		> raw 0300010000000178ce
		0< connection.close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)`},
	{id: "R72", about: "method where a content header is due", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce0100010000000b003c000a00000000000000ce
		0< connection.close 505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead (60,40)`},
	{id: "R73", about: "method where a body is due", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce0200010000000e003c000000000000000000050000ce0100010000000b003c000a00000000000000ce
		0< connection.close 505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60,40)`},
	{id: "R74", about: "body where a header is due", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce0300010000000178ce
		0< connection.close 505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead (60,40)`},
	{id: "R76", about: "content header for another class", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce0200010000000e0032000000000000000000020000ce
		0< connection.close 505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead (60,40)`},
	{id: "R77", about: "content header with weight 1", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce0200010000000e003c000100000000000000000000ce0100010000000b003c000a00000000000000ce
		0< connection.close 505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead (60,40)`},
	{id: "R78", about: "content header with truncated properties", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce02000100000012003c00000000000000000000800020616263ce
		0< connection.close 541 INTERNAL_ERROR (0,0)`},
	{id: "R79", about: "content header with junk after the properties", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce02000100000012003c0000000000000000000000006a756e6bce0100010000000b003c000a00000000000000ce
		0< connection.close 541 INTERNAL_ERROR (0,0)`},
	{id: "R80", about: "empty body: header of size 0 and no body frame", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce0200010000000e003c000000000000000000000000ce0100010000000b003c000a00000000000000ce
		< basic.qos-ok`},
	{id: "R81", about: "size 0 followed by an empty body frame", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce0200010000000e003c000000000000000000000000ce03000100000000ce0100010000000b003c000a00000000000000ce
		0< connection.close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0,0)`},
	{id: "R82", about: "empty body frames between body frames", script: `
		> raw 01000100000010003c0028000000076e6f776865726500ce0200010000000e003c000000000000000000020000ce03000100000000ce0300010000000178ce03000100000000ce0300010000000179ce0100010000000b003c000a00000000000000ce
		< basic.qos-ok`},
	{id: "R83", about: "unknown method in a known class", script: `
		> raw 01000100000004003c03e7ce
		0< EOF`},
	{id: "R84", about: "unknown class", script: `
		> raw 0100010000000403e7000ace
		0< EOF`},
	{id: "R85", about: "method with truncated arguments", script: `
		> raw 010001000000090032000a0000056162ce
		0< connection.close 501 FRAME_ERROR - cannot decode <<0,0,5,97,98>> (50,10)`},
	{id: "R86", about: "method with junk after its arguments", script: `
		> raw 0100010000000f003c000a000000000000006a756e6bce
		0< connection.close 501 FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,106,117,110,107>> (60,10)`},
	{id: "R87", about: "method frame shorter than 4 bytes", script: `
		> raw 01000100000002003cce
		0< connection.close 501 FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame (0,0)`},
	{id: "R88", about: "table with unknown type tag", script: `
		> raw 010001000000120032000a0000027174000000000401613f00ce
		0< EOF`},
	{id: "R89", about: "server-only method from client (queue.declare-ok)", script: `
		> raw 0100010000000e0032000b01780000000000000000ce
		0< connection.close 503 COMMAND_INVALID - unimplemented method (50,11)`},
}
