package engine

import (
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// healthIn is the verdict in the status phrase of a container list: "Up 2 minutes (healthy)". The list has no
// field for it before API 1.52. Source: moby, container/state.go, State.String.
func healthIn(status string) compose.Health {
	if !strings.HasPrefix(status, "Up ") || !strings.HasSuffix(status, ")") {
		return compose.NoHealth
	}
	switch status[strings.LastIndexByte(status, '(')+1 : len(status)-1] {
	case "healthy":
		return compose.Healthy
	case "unhealthy":
		return compose.Unhealthy
	case "health: starting":
		return compose.Starting
	}
	return compose.NoHealth
}

// exitCodeIn is the code in "Exited (137) 3 seconds ago" and "Restarting (1) 2 seconds ago", else 0.
func exitCodeIn(status string) int {
	_, rest, ok := strings.Cut(status, "(")
	if !ok || !(strings.HasPrefix(status, "Exited ") || strings.HasPrefix(status, "Restarting ")) {
		return 0
	}
	digits, _, _ := strings.Cut(rest, ")")
	code, _ := strconv.Atoi(digits) // what is no number is no exit code
	return code
}
