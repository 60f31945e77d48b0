// Package ctl is what brokerctl is built on: where to connect and as whom (Target, Config), how arguments are written on a command
// line and shown again (ParseArgument, Plain), and how errors of the admin API become exit codes (Problem, ExitCode).
//
// It knows no command; internal/ctl/output prints. Nothing here keeps state between calls, and everything may be used by several
// goroutines at once.
package ctl
