package routing

import (
	"testing"

	"go.uber.org/goleak"
)

// raceEnabled says that the race detector is on.
var raceEnabled bool

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
