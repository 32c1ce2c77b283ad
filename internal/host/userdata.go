package host

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"time"

	_ "embed"
)

//go:embed userdata.sh
var userDataText string

// mostUserData is the most bytes of user data. Source: Amazon EC2 User Guide, User data: 16 KB before it is encoded.
const mostUserData = 16 << 10

// LoginUser is who logs in to a machine.
const LoginUser = "strake"

// userData is the script that a machine runs at its first boot. It holds the machine's first key of SSH, which is replaced at the first
// connection, and no secret of an application.
func userData(l Lease, identity keyPair, login string) (string, error) {
	t, err := template.New("user data").Parse(userDataText)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	idle, look := "", min(l.Idle/4, time.Minute)
	if strings.HasPrefix(l.Preview, sharedID) && l.Idle > 0 {
		idle = strconv.Itoa(max(int(l.Idle.Seconds()), 1))
	}
	err = t.Execute(&out, map[string]string{"Idle": idle, "Look": strconv.Itoa(max(int(look.Seconds()), 1)), "Expires": calendar(l.Expires), "ExpiresUnix": strconv.FormatInt(l.Expires.Unix(), 10), "HostKey": strings.TrimSpace(string(identity.private)), "HostKeyPublic": identity.public, "Login": login, "User": LoginUser})
	if err == nil && out.Len() > mostUserData {
		err = fmt.Errorf("the script of the first boot has %d bytes, and AWS takes %d", out.Len(), mostUserData)
	}
	return out.String(), err
}

// calendar is a time as a timer of systemd has it. Source: systemd.time(7).
func calendar(t time.Time) string { return t.UTC().Format(calendarLayout) }

// calendarLayout is how calendar writes times.
const calendarLayout = "2006-01-02 15:04:05 UTC"

// moveLease is a script that moves the end of a lease on its machine. That of one which previews share only goes on, whoever is first.
func moveLease(expires time.Time, shared bool) string {
	script := fmt.Sprintf("set -e; f=/etc/systemd/system/strake-lease.timer; new=\"%s\"; ", calendar(expires))
	if shared {
		script += `old=$(sed -n s/^OnCalendar=//p $f); [[ "$new" > "$old" ]] || exit 0; `
	}
	script += `sed -i "s/^OnCalendar=.*/OnCalendar=$new/" $f; systemctl daemon-reload; systemctl restart strake-lease.timer`
	return "sudo flock --close /run/strake-lease.lock bash -c '" + script + "'"
}

// usedFile says by its age how long nothing has been on a machine that previews share.
const usedFile = "/var/lib/strake/used"
