package conformance

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/node"
)

// nodeSpec is a node in this process, and what is special about it.
type nodeSpec struct {
	name   string
	adjust func(*config.Config) // nil for the usual settings
	node   *node.Node
	dir    string
	at     target
}

// start starts the node, with the data of the last time if there was one.
func (s *nodeSpec) start() (*target, error) {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "conformance")
		if err != nil {
			return nil, err
		}
		s.dir = dir
	}
	cfg := config.Default()
	cfg.DataDir = s.dir
	cfg.AMQP.Listen, cfg.HTTP.Listen = []string{"127.0.0.1:0"}, ""
	if s.adjust != nil {
		s.adjust(cfg)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := node.Start(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	s.node = n
	s.at = target{
		addr: n.Addrs()[0], user: cfg.DefaultUser, password: cfg.DefaultPass, vhost: cfg.DefaultVHost,
		channelMax: cfg.AMQP.ChannelMax, frameMax: cfg.AMQP.FrameMax, broker: n.Broker(),
	}
	return &s.at, nil
}

// halt shuts the node down and keeps its data.
func (s *nodeSpec) halt() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := s.node.Shutdown(ctx)
	s.node = nil
	return err
}

// stop ends the node, and its data with it.
func (s *nodeSpec) stop() error {
	var err error
	if s.node != nil {
		err = s.halt()
	}
	if err2 := os.RemoveAll(s.dir); err == nil {
		err = err2
	}
	return err
}
