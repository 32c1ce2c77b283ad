package compose

import (
	"net/url"
	"strconv"
	"strings"
)

// ACMESettings is x-strake.previews.ec2.acme: where the certificates of previews on EC2 come from. The zero value is Let's Encrypt where previews have
// names of a domain of the account, and no certificates where a DNS service answers for them.
type ACMESettings struct {
	// Directory is the URL of an authority's directory; "" is the default, ACMENone no certificates.
	Directory string `strake:"directory" doc:"The directory of the ACME authority that certificates come from, or none for previews without HTTPS; without it that of Let's Encrypt where there is a domain, and none where there is a wildcard."`
	// Email is where the authority writes to; "" is nowhere.
	Email string `strake:"email" doc:"Where the authority writes to when something is wrong; without it nowhere."`
	// Root is a file with the certificates by which the directory is known, relative to the project's folder of who opens a preview; "" are those that
	// everybody trusts.
	Root string `strake:"root" doc:"A file of the machine on which previews are opened, with the root certificates by which directory is known; without it those that everybody trusts."`
}

// ACMENone is the directory of previews without HTTPS.
const ACMENone = "none"

// letsEncrypt is the directory that certificates come from where nothing else is written.
// Source: letsencrypt.org, documentation of the staging environment, which names both.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Certificates are where those of previews come from, with defaults; ok is false for previews without HTTPS.
func (s EC2Settings) Certificates() (from ACMESettings, ok bool) {
	from = s.ACME
	if from.Directory == "" && s.Wildcard == "" {
		from.Directory = letsEncrypt
	}
	return from, from.Directory != "" && from.Directory != ACMENone
}

// checkNames refuses names and certificates of previews on EC2 that cannot be.
func (d *settingsDecoder) checkNames(p PreviewSettings) {
	s := p.EC2
	wrong := func(next, says string, path ...string) {
		path = append([]string{settingsKey, "previews"}, path...)
		d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + " is " + says, next})
	}
	if s.Wildcard != "" && !domainName.MatchString(s.Wildcard) {
		wrong("write a domain such as sslip.io", strconv.Quote(s.Wildcard), "ec2", "wildcard")
	}
	if u, err := url.Parse(s.ACME.Directory); s.ACME.Directory != "" && s.ACME.Directory != ACMENone && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		wrong("write a URL such as https://acme.example.org/directory, or none", strconv.Quote(s.ACME.Directory), "ec2", "acme", "directory")
	}
	if local, host, ok := strings.Cut(s.ACME.Email, "@"); s.ACME.Email != "" && (!ok || local == "" || !domainName.MatchString(strings.ToLower(host)) || strings.ContainsAny(local, " <>,;:")) {
		wrong("write one such as ops@example.org", strconv.Quote(s.ACME.Email), "ec2", "acme", "email")
	}
	if p.Host != HostEC2 {
		return
	}
	_, https := s.Certificates()
	switch {
	case p.Domain == "" && s.Wildcard == "":
		wrong("write domain: preview.example.com, a name in a public zone of the account's Route 53, or ec2: {wildcard: sslip.io}, or another DNS service that you trust",
			"ec2, and there is no name by which visitors find a preview", "host")
	case p.Domain != "" && s.Wildcard != "":
		wrong("leave one of them out", "there, and domain too: a preview has its name from one of them", "ec2", "wildcard")
	case s.Address == AddressPrivate && https && s.ACME.Directory == "":
		wrong("write acme: {directory: URL} of an authority that reaches the VPC, or acme: {directory: none} for previews without HTTPS",
			"private, where Let's Encrypt reaches no machine to give it a certificate", "ec2", "address")
	}
}
