package admin

import "time"

// Host is the process that the node runs in. Methods are safe for concurrent use and do not wait.
type Host interface {
	// Usage returns what the process uses.
	Usage() Usage
	// Listeners returns what the node listens on.
	Listeners() []Listener
	// Settings returns the configuration in force.
	Settings() []Setting
	// DataDir returns the absolute path of the data directory.
	DataDir() string
	// Certificates returns the certificates that listeners show.
	Certificates() []Certificate
}

// Usage is what a process uses, in bytes unless said; 0 stands for not known.
type Usage struct {
	Memory, MemoryLimit  int64
	MessageMemory        int64
	DiskFree, DiskMin    int64
	Store                int64
	FDs, MaxFDs          int64  // file descriptors
	Release              string // name and version of the program
	MemoryAlarm          bool
	DiskAlarm            bool
	MaxClientConnections int
}

// Listener is an open port.
type Listener struct{ Protocol, Address string }

// Setting is a configuration key.
type Setting struct{ Key, Value, Default, Help string }

// Certificate is a certificate of a listener.
type Certificate struct {
	Listener string // configuration section
	Subject  string
	Expires  time.Time
}
