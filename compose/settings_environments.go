package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose/regex"
)

// EnvironmentSettings is one of x-strake.environments: where a release runs, which a tag in the registry stands for. It counts only in the file of the
// default branch.
type EnvironmentSettings struct {
	// Tag is the tag of the images that the environment runs; "" is its name.
	Tag string `strake:"tag" doc:"The tag of the images that the environment runs; without it its name."`
	// From is the environment from which it is promoted; "" for the first one.
	From string `strake:"from" doc:"The environment from which releases are promoted to this one; without it it takes what was built."`
	// Branch is the branch whose builds go there by themselves; "" for none.
	Branch string `strake:"branch" doc:"The branch whose builds strake build --push promotes to this environment at once: a push is the promotion, one of a former commit the rollback."`
	// Remote is the git remote whose HEAD the environment runs; "" for none.
	Remote string `strake:"remote" doc:"The git remote, such as stg, whose HEAD is what strake promote takes: a push to it is the promotion."`
	// File is the file of the default branch that says which commit the environment runs; "" for none.
	File string `strake:"file" doc:"The file of the default branch, such as deploy/prod.yaml, whose commit: is what strake promote takes, and nothing else."`
	// Hotfix is a pattern of branches whose builds may go there past From; "" for none.
	Hotfix string `strake:"hotfix" doc:"A pattern of branches, such as hotfix*, whose builds strake promote --hotfix takes though the environment before does not run them."`
	// Soak is how long a release has to have run in From; 0 is not at all.
	Soak time.Duration `strake:"soak" doc:"How long a release has to have run in the environment that it comes from, such as 24h."`
	// Registry is where its images are, if not in x-strake.registry: a promotion copies them there. "" is that one.
	Registry string `strake:"registry" doc:"The registry in which this environment's images are, such as one of another account; a promotion copies them there, with their digests."`
	// Role is the role of AWS in which its images are copied and its tags are moved, an ARN; "" is whoever promotes.
	Role string `strake:"role" doc:"The role of AWS in which images are copied to this environment and its tags are moved, such as arn:aws:iam::123456789012:role/promote."`
	// Checks are commands that have to succeed in a clean checkout of the commit.
	Checks []string `strake:"checks" doc:"Commands that have to succeed, in a clean checkout of the commit, before it is promoted to this environment."`
	// Approvals are how many people have to approve a release in each role; none is nobody.
	Approvals map[string]int `strake:"approvals" doc:"How many people have to approve a release of this environment, by role."`
	// Approvers are who may, by role: names of .strake/allowed_signers.
	Approvers map[string][]string `strake:"approvers" doc:"Who may approve in a role: the names that they have in .strake/allowed_signers of the default branch."`
}

var (
	tagName         = regex.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`)
	roleARN         = regex.New(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)
	environmentName = regex.New(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	commitTag       = regex.New(`^([0-9a-f]{40}|[0-9a-f]{64})|^(pr|prev|keep|build|tree|ledger|approval|head|claim|foreign)-`)
)

// IsReleaseTag is whether a text is a tag that releases may have: one of images, and none of those that strake gives.
func IsReleaseTag(text string) bool { return tagName.MatchString(text) && !commitTag.MatchString(text) }

// EnvironmentNames are the environments in the order in which releases go through them: after those that they come from, and else by name.
func EnvironmentNames(all map[string]EnvironmentSettings) []string {
	depth := func(name string) (n int) {
		for from := all[name].From; from != "" && n <= len(all); from = all[from].From {
			n++
		}
		return n
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		if d := depth(a) - depth(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

// withTags are environments with the default of their tags.
func withTags(all map[string]EnvironmentSettings) map[string]EnvironmentSettings {
	for name, e := range all {
		if e.Tag == "" {
			e.Tag = name
			all[name] = e
		}
	}
	return all
}

// checkEnvironments refuses what x-strake.environments cannot mean.
func (d *settingsDecoder) checkEnvironments(s Settings) {
	wrong := func(next, says string, path ...string) {
		path = append([]string{settingsKey, "environments"}, path...)
		d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + says, next})
	}
	names := slices.Sorted(maps.Keys(s.Environments))
	if len(names) > 0 && s.Registry == "" {
		wrong("write x-strake.registry, such as ghcr.io/acme", " needs a registry in which the images are")
	}
	tags, branches := map[string]string{}, map[string]string{}
	for _, name := range names {
		e := s.Environments[name]
		if !environmentName.MatchString(name) {
			wrong("write a name of small letters, digits and -", " is no name of an environment", name)
		}
		if !IsReleaseTag(e.Tag) {
			wrong("write one such as staging", fmt.Sprintf(" is %q, which is no tag, or one of strake's own", e.Tag), name, "tag")
		}
		if other := tags[e.Tag]; other != "" {
			wrong("give each environment a tag of its own", fmt.Sprintf(" is %q, which %s has already", e.Tag, other), name, "tag")
		}
		tags[e.Tag] = name
		if other := branches[e.Branch]; other != "" && e.Branch != "" {
			wrong("name a branch in one of them", fmt.Sprintf(" is %q, which %s has already", e.Branch, other), name, "branch")
		}
		branches[e.Branch] = name
		of := func(next, says string, path ...string) { wrong(next, says, append([]string{name}, path...)...) }
		checkApprovals(e, of)
		checkLanes(e, s.Environments, of)
		if e.Registry != "" && !IsRegistry(e.Registry) {
			wrong("write a registry and a path below it, such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop", fmt.Sprintf(" is %q, which is no registry", e.Registry), name, "registry")
		}
		if e.Role != "" && !roleARN.MatchString(e.Role) {
			wrong("write one such as arn:aws:iam::123456789012:role/promote", fmt.Sprintf(" is %q, which is no role of AWS", e.Role), name, "role")
		}
		if e.From == "" {
			continue
		}
		if _, ok := s.Environments[e.From]; !ok || e.From == name {
			next := "the environments are " + strings.Join(names, ", ")
			if n := Nearest(e.From, names); n != "" && n != name {
				next = "did you mean " + n + "? " + next
			}
			wrong(next, fmt.Sprintf(" is %q, and no other environment is called that", e.From), name, "from")
			continue
		}
		at := e.From
		for range names {
			if at = s.Environments[at].From; at == name {
				wrong("let one of them be the first", fmt.Sprintf(" is %q, which comes from %s itself", e.From, name), name, "from")
				break
			}
		}
	}
}
