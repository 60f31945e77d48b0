package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// minMemory is the least memory.limit in bytes. A percentage that comes to less is raised to it.
const minMemory = 64 * mib

// TotalMemory returns the bytes of memory that this process could use at most: the machine's, or the limit of its cgroup
// where that is less. The error says that neither is known.
func TotalMemory() (int64, error) {
	total, err := memlimit.FromSystem()
	if limit, cgroupErr := memlimit.FromCgroup(); cgroupErr == nil && limit > 0 && (err != nil || limit < total) {
		total, err = limit, nil
	}
	if err != nil {
		return 0, fmt.Errorf("memory of this machine: %w", err)
	}
	if total == 0 || int64(total) <= 0 {
		return 0, errors.New("memory of this machine is not known")
	}
	return int64(total), nil
}

// resolveMemory turns a memory limit as written, "60%" or a size, into bytes. total is only called for a percentage.
func resolveMemory(s string, total func() (int64, error)) (int64, error) {
	percent, ok := strings.CutSuffix(s, "%")
	if !ok {
		n, err := parseSize(s)
		if err == nil && n < minMemory {
			err = errOutOfRange
		}
		return n, err
	}
	p, err := strconv.ParseUint(percent, 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, errors.New("not a whole number of percent")
	}
	if err != nil || p < 1 || p > 100 {
		return 0, errOutOfRange
	}
	n, err := total()
	if err != nil {
		return 0, fmt.Errorf("cannot be resolved, write a size instead (%w)", err)
	}
	// Divide first: n may be near the top of the range. The few bytes lost do not matter.
	return max(n/100*int64(p), minMemory), nil
}

func memory() kind {
	return kind{
		typ:     "memory",
		allowed: "1% to 100%, or a size of at least " + formatSize(minMemory),
		parse: func(c *Config, v value) error {
			s, err := v.one()
			if err != nil {
				return err
			}
			n, err := resolveMemory(s, TotalMemory)
			if err != nil {
				return err
			}
			c.Memory.Limit, c.memoryLimit = n, s
			return nil
		},
		format: func(c *Config) value { return scalar(c.memoryLimit) },
	}
}
