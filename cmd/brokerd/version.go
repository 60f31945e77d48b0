package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker in release builds (-X main.version=1.2.3); otherwise the build information is used.
var version string

func versionText() string {
	shown, commit := version, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if shown == "" {
			shown = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				commit = "commit " + s.Value[:12] + ", "
			case s.Key == "vcs.modified" && s.Value == "true" && version != "":
				shown += "+dirty"
			}
		}
	}
	if shown == "" {
		shown = "(devel)"
	}
	return fmt.Sprintf("brokerd %s (%s%s %s/%s)", shown, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
