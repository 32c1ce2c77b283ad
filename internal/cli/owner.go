package cli

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/user"

	"github.com/strake-dev/strake/compose"
)

// owner describes this process as the holder of a claim.
func owner(s Streams, command string) compose.Owner {
	o := compose.Owner{Command: "strake " + command, PID: os.Getpid(), Since: s.Now().UTC(),
		Machine: machine(), Boot: bootID()}
	o.Start, _ = startOf(o.PID) // "" makes it a holder that is taken for alive while the machine is up
	o.Host, _ = os.Hostname()   // for people only
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	return o
}

// machine is a name for this machine that tells nobody its id, which is its secret: others see claims. "" is unknown.
// Source: machine-id(5), which asks for a keyed hash.
func machine() string {
	id := machineID()
	if id == "" {
		return ""
	}
	sum := hmac.New(sha256.New, []byte("strake"))
	sum.Write([]byte(id))
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// isAlive is whether the holder of a claim may still be at work. One on another machine always may.
// A holder on this machine is dead when the machine was started since, or when no process has its number and start.
func isAlive(o compose.Owner) bool {
	if here := machine(); here == "" || o.Machine != here {
		return true
	}
	if boot := bootID(); boot != "" && o.Boot != boot {
		return false
	}
	start, known := startOf(o.PID)
	if !known {
		return true
	}
	return start != "" && (o.Start == "" || start == o.Start)
}
