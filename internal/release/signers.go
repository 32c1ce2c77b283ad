package release

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/strake-dev/strake/compose"
)

// SignersFile is where the keys of those who approve are, from the top of the repository. It counts as it is on the default branch.
const SignersFile = ".strake/allowed_signers"

// Namespace is what signatures of approvals are made for: one that was made for something else, such as a commit, is none.
const Namespace = "approval@strake.dev"

// Signers are the people whose signatures count, with their keys. The zero value is nobody.
type Signers struct{ lines []signer }

// signer is one line of the file.
type signer struct {
	names       []string // of one person: what approvers calls them, and the addresses of their commits
	key         ssh.PublicKey
	from, until time.Time // zero is always
	approves    bool      // the key is good for approvals
}

// ParseSigners reads a file of allowed signers, as ssh-keygen and git use it: for each key the names of whom it belongs to, separated by commas, which are
// the name in approvers and the addresses that they commit with, options, and the key. Its options namespaces, valid-after and valid-before count; times
// without Z are UTC. Lines of authorities and lines whose names are patterns stand for nobody here.
// Source: ssh-keygen(1), ALLOWED SIGNERS.
func ParseSigners(text []byte) (Signers, error) {
	var s Signers
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		one, err := parseSigner(line)
		if err != nil {
			return Signers{}, &compose.HintedError{Err: fmt.Errorf("line %d of %s: %w", n, SignersFile, err), Next: "write lines such as ada,ada@example.org ssh-ed25519 AAAA…"}
		}
		if one.key != nil {
			s.lines = append(s.lines, one)
		}
	}
	return s, nil
}

// parseSigner reads one line; one without a key stands for nobody.
func parseSigner(line string) (one signer, err error) {
	names, rest := "", ""
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		names, rest, ok = strings.Cut(quoted, `"`)
		if !ok {
			return one, errors.New("a quotation mark is missing")
		}
	} else if i := strings.IndexAny(line, " \t"); i > 0 {
		names, rest = line[:i], line[i:]
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(rest)))
	if err != nil {
		return one, fmt.Errorf("no key of SSH follows %q", names)
	}
	one = signer{names: strings.Split(strings.ToLower(names), ","), key: key, approves: true}
	if strings.ContainsAny(names, "*?!") || slices.Contains(one.names, "") {
		return signer{}, nil
	}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "cert-authority":
			return signer{}, nil
		case "namespaces":
			one.approves = isIn(value, Namespace)
		case "valid-after":
			one.from, err = signerTime(value)
		case "valid-before":
			one.until, err = signerTime(value)
		default:
			err = fmt.Errorf("there is no option %q", name)
		}
		if err != nil {
			return one, err
		}
	}
	return one, nil
}

// isIn is whether a text is like one of the patterns of a list and like none of those that begin with !.
// Source: ssh_config(5), PATTERNS.
func isIn(list, text string) (in bool) {
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, denies := strings.CutPrefix(pattern, "!")
		if is, err := path.Match(pattern, text); err != nil || !is {
			continue
		}
		if denies {
			return false
		}
		in = true
	}
	return in
}

// signerTime reads a time of a line.
func signerTime(text string) (time.Time, error) {
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.Parse(layout, strings.TrimSuffix(text, "Z")); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 20270131", text)
}

// Who is which of those names a public key, as a line of an authorized_keys file, approves for at a time; "" for none.
func (s Signers) Who(key string, names []string, now time.Time) string {
	k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		return ""
	}
	for _, name := range names {
		if s.speaks(k, name, now) {
			return name
		}
	}
	return ""
}

// speaks is whether a key approves for a name at a time.
func (s Signers) speaks(key ssh.PublicKey, name string, now time.Time) bool {
	return slices.ContainsFunc(s.lines, func(l signer) bool { return string(l.key.Marshal()) == string(key.Marshal()) && l.isOf(name, now) })
}

// knows is whether a name or an address is somebody's.
func (s Signers) knows(name string) bool {
	return slices.ContainsFunc(s.lines, func(l signer) bool { return slices.Contains(l.names, strings.ToLower(name)) })
}

// hasKey is whether some key approves for a name at a time.
func (s Signers) hasKey(name string, now time.Time) bool {
	return slices.ContainsFunc(s.lines, func(l signer) bool { return l.isOf(name, now) })
}

// isOf is whether a line's key approves for a name at a time.
func (l signer) isOf(name string, now time.Time) bool {
	return l.approves && slices.Contains(l.names, strings.ToLower(name)) && !now.Before(l.from) && (l.until.IsZero() || now.Before(l.until))
}

// person are all names of whom a name belongs to, sorted: those of lines that share a name or a key with it.
func (s Signers) person(name string) []string {
	names, keys := map[string]bool{strings.ToLower(name): true}, map[string]bool{}
	for grew := true; grew; {
		grew = false
		for _, l := range s.lines {
			key := string(l.key.Marshal())
			if !keys[key] && !slices.ContainsFunc(l.names, func(n string) bool { return names[n] }) {
				continue
			}
			for _, n := range l.names {
				grew = grew || !names[n]
				names[n] = true
			}
			grew = grew || !keys[key]
			keys[key] = true
		}
	}
	return sorted(names)
}

// addresses are the e-mail addresses of whom a name belongs to: the names that commits have.
func (s Signers) addresses(name string) []string {
	return slices.DeleteFunc(s.person(name), func(n string) bool { return !strings.Contains(n, "@") })
}
