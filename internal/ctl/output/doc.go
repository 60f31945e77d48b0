// Package output prints lists and objects as tables for people, and as JSON, YAML, CSV or tab-separated lines for programs.
//
// A list is streamed: rows are written as they come, and only the first ones are held to find out how wide the columns of a table
// are. Names and texts come from clients of the broker, so control characters never reach a terminal as they are.
package output
