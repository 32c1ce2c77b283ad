package seed

import (
	"strings"

	"github.com/strake-dev/strake/compose/regex"
)

// masked are words without the passwords in them: neither what says to be one, nor what follows a flag that says so.
func masked(words []string) []string {
	var out []string
	for i, w := range words {
		if i > 0 && passwordFlag.MatchString(words[i-1]) {
			w = ""
		}
		if strings.ContainsAny(w, " \t\n") || i > 0 && shellFlag.MatchString(words[i-1]) {
			out = append(out, withoutLiterals(w)) // a shell runs what else is in it
			continue
		}
		out = append(out, withoutPassword(w))
	}
	return out
}

// shellFlag is the flag of a shell behind which a script stands.
var shellFlag = regex.New(`^-[a-z]*c$`)

// withoutLiterals is a script without the passwords that it says to hold, as far as they are plain texts: what a shell runs instead of one, or
// behind it, stays.
func withoutLiterals(script string) string {
	script = scriptURL.ReplaceAllString(script, "$1@")
	return scriptToken.ReplaceAllString(scriptPassword.ReplaceAllString(script, "$1"), "")
}

// The same as below, of values without anything that a shell runs.
var (
	scriptURL      = regex.New("(://[^:/@\\s]*):[^/\\s`$|<>();&\"']*@")
	scriptPassword = regex.New("(?i)((?:pass|password|passwd|requirepass|pwd|passphrase|secret|token|apikey|api_key|access_key|authorization|bearer)\\s*[=: ]\\s*)(?:'[^']*'|\"[^\"`$]*\"|[^&;,\\s\"'`$|<>()]+)")
	scriptToken    = regex.New("\\beyJ[0-9A-Za-z_-]{8,}\\.[0-9A-Za-z_.-]+|\\b(gh[a-z]_|github_pat_|glpat-|[rs]k_(live|test)_|xox[a-z]-|AKIA)[0-9A-Za-z_-]{8,}")
)

// passwordFlag is a flag whose value is the next word.
var passwordFlag = regex.New(`(?i)^--?[a-z-]*(pass|password|passwd|requirepass|masterauth|secret|token|credentials|(api|access|private|secret|signing)-?key)$`)

// Where a text holds a password: in a URL before the host, and behind a word that says so.
var (
	urlPassword   = regex.New(`(://[^:/@\s]*):[^/\s]*@`)
	urlToken      = regex.New(`(://)[0-9A-Za-z_-]{16,}@`) // of a length that no user's name has
	namedPassword = regex.New(`(?i)((?:pass|password|passwd|requirepass|pwd|passphrase|secret|token|apikey|api_key|access_key|authorization|bearer)["']?\s*[=: ]\s*["']?)[^&;,\s"']+`)
	// knownToken are forms that mean nothing else: keys in PEM, JSON web tokens, and those of GitHub, GitLab, Stripe, Slack and AWS.
	knownToken = regex.New(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*|\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_.-]+|` +
		`\b(gh[a-z]_|github_pat_|glpat-|[rs]k_(live|test)_|xox[a-z]-|AKIA)[0-9A-Za-z_-]{8,}`)
)

// withoutPassword is a text without the passwords that it says to hold.
func withoutPassword(v string) string {
	v = urlToken.ReplaceAllString(urlPassword.ReplaceAllString(v, "$1@"), "$1@")
	return knownToken.ReplaceAllString(namedPassword.ReplaceAllString(v, "$1"), "")
}
