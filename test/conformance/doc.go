// Package conformance checks what a broker says on the wire, word for word. A case is a script of frames sent and frames that
// must come back; its id names the line of the behaviour reference (S, by section) or the recorded trace (R, by number) that it
// checks. The cases stand in the cases_*_test.go and traces_*_test.go files, the language of the scripts is explained at type script.
// lines.txt says what covers each line of the reference, or why nothing does; a test holds it to that.
//
// Without further settings the suite starts a node in this process. With AMQP_URL set it runs against that broker, which must be
// empty and let the user configure everything; cases that need the node's administration, or a node with settings of its own (an alarm,
// a restart), are skipped then. AMQP_LIST names a
// file of this folder with the cases that are known to differ there: each must differ, all others must not.
//
//	go test ./test/conformance/
//	AMQP_URL=amqp://guest:guest@127.0.0.1:5672/ AMQP_LIST=rabbitmq310.txt go test ./test/conformance/
package conformance
