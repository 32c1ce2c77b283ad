package host

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Vitals are what a machine says of itself, where its engine does not.
type Vitals struct {
	FileSystem string // of the engine's data: xfs, ext4; "" if it does not say
	Reflink    string // of an XFS: "1" where files are cloned, "0" where not, "" if it does not say
	DiskFree   int64  // of the engine's data, in bytes
	Memory     int64  // all of it and what can be had without swapping, in bytes
	Available  int64
	Armed      bool      // the timer that ends the machine runs
	Ends       time.Time // when it goes off; the zero time if that cannot be read
}

// vitals is the script that says them, a line each. Source: df(1), xfs_info(8), proc(5), systemctl(1).
const vitals = `set -- $(df --output=fstype,avail -k "$0" | tail -n 1)
echo "filesystem $1"; echo "free $2"
command -v xfs_info >/dev/null && [ "$1" = xfs ] && xfs_info "$0" | sed -n 's/.*reflink=\([01]\).*/reflink \1/p'
sed -n 's/^MemTotal: */memory /p; s/^MemAvailable: */available /p' /proc/meminfo
echo "timer $(systemctl is-active strake-lease.timer)"
sed -n 's/^OnCalendar=/ends /p' /etc/systemd/system/strake-lease.timer`

// Vitals asks a machine how it is; root is the folder of its engine's data.
func (w *Way) Vitals(ctx context.Context, root string) (Vitals, error) {
	out, err := w.Run(ctx, "sudo sh -c "+quoted(vitals)+" "+quoted(root), nil)
	if err != nil {
		return Vitals{}, err
	}
	return vitalsIn(string(out)), nil
}

// vitalsIn reads what vitals prints. What it does not say is left out.
func vitalsIn(text string) (v Vitals) {
	kibibytes := func(text string) int64 {
		n, _ := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64) // 0 is unknown
		return n << 10
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "filesystem":
			v.FileSystem = value
		case "free":
			v.DiskFree = kibibytes(value)
		case "reflink":
			v.Reflink = value
		case "memory":
			v.Memory = kibibytes(value)
		case "available":
			v.Available = kibibytes(value)
		case "timer":
			v.Armed = value == "active"
		case "ends":
			v.Ends, _ = time.Parse(calendarLayout, value) // the zero time is unknown
		}
	}
	return v
}
