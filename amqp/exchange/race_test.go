//go:build race

package exchange

func init() { raceEnabled = true }
