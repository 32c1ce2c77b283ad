#!/bin/bash
# The first boot of a machine for a preview, by strake. The end of its lease comes before everything else: whatever fails below, it ends.
set -eu
umask 077
mkdir -p /var/lib/strake
trap '[ $? = 0 ] || touch /var/lib/strake/failed' EXIT
[ "$(date +%s)" -lt {{.ExpiresUnix}} ] || systemctl poweroff # a timer whose time is over does not go off
cat >/etc/systemd/system/strake-lease.service <<'END'
[Unit]
Description=End of the lease of this machine
[Service]
Type=oneshot
ExecStart=/usr/bin/systemctl poweroff
END
cat >/etc/systemd/system/strake-lease.timer <<'END'
[Unit]
Description=Lease of this machine
[Timer]
OnCalendar={{.Expires}}
AccuracySec=1s
Persistent=true
[Install]
WantedBy=timers.target
END
systemctl daemon-reload
systemctl enable --now strake-lease.timer

# Who it is, so that nobody else can be taken for it.
rm -f /etc/ssh/ssh_host_*
cat >/etc/ssh/ssh_host_ed25519_key <<'END'
{{.HostKey}}
END
printf '%s\n' '{{.HostKeyPublic}}' >/etc/ssh/ssh_host_ed25519_key.pub
systemctl restart sshd 2>/dev/null || systemctl restart ssh

# Who may log in.
id {{.User}} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {{.User}}
install -d -m 700 -o {{.User}} -g {{.User}} /home/{{.User}}/.ssh
printf '%s\n' '{{.Login}}' >/home/{{.User}}/.ssh/authorized_keys
chown {{.User}}:{{.User}} /home/{{.User}}/.ssh/authorized_keys
printf '%s ALL=(root) NOPASSWD: ALL\n' {{.User}} >/etc/sudoers.d/strake
chmod 440 /etc/sudoers.d/strake
{{if .Idle}}
# Previews share it: it ends itself when none has been on it for a while. Whoever opens one touches the file first.
touch /var/lib/strake/used
cat >/usr/local/sbin/strake-empty <<'END'
#!/bin/bash
used=/var/lib/strake/used
here=$(docker ps --all --quiet --filter label=dev.strake.record) || exit 0 # its lease ends it still
[ -z "$here" ] || touch $used
[ $(($(date +%s) - $(stat -c %Y $used))) -lt {{.Idle}} ] || systemctl poweroff
END
chmod 755 /usr/local/sbin/strake-empty
cat >/etc/systemd/system/strake-empty.service <<'END'
[Unit]
Description=Look whether a preview is on this machine
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/strake-empty
END
cat >/etc/systemd/system/strake-empty.timer <<'END'
[Unit]
Description=Look whether a preview is on this machine
[Timer]
OnActiveSec={{.Look}}
OnUnitActiveSec={{.Look}}
AccuracySec=1s
[Install]
WantedBy=timers.target
END
{{end}}
# Its engine.
if ! command -v dockerd >/dev/null; then
	if command -v dnf >/dev/null; then
		dnf install -y docker
	else
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io
	fi
fi
getent group docker >/dev/null || groupadd docker
usermod -aG docker {{.User}}
systemctl enable docker
for n in 1 2 3 4 5; do # a small machine is busy while it boots, and its engine waits no longer than 15 s for containerd
	systemctl start docker && break
	[ $n -lt 5 ]
	systemctl reset-failed docker 2>/dev/null || true
done
{{if .Idle}}systemctl daemon-reload
systemctl enable --now strake-empty.timer
{{end}}touch /var/lib/strake/ready
