package compose

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose/regex"
)

// CheckSettings is x-strake.check. The zero value ignores nothing.
type CheckSettings struct {
	// Ignore are findings of Check that are known and meant.
	Ignore []IgnoreSettings `strake:"ignore" doc:"Findings of strake check that are known and meant, each with a reason."`
}

// IgnoreSettings is one entry of x-strake.check.ignore.
type IgnoreSettings struct {
	// Rule is the ID of one of CheckRules; Service is whose findings are meant, "" all.
	Rule    string `strake:"rule" doc:"The rule whose findings are ignored, such as fetching-run."`
	Service string `strake:"service" doc:"The service whose findings are ignored; without it those of the whole project."`
	// Reason is why, for people; it must be there.
	Reason string `strake:"reason" doc:"Why; without a reason nothing is ignored."`
}

// checkIgnores refuses entries of x-strake.check.ignore that name no rule or service, and those without a reason.
func (d *settingsDecoder) checkIgnores(all []IgnoreSettings, services []string) {
	for i, ig := range all {
		entry := []string{settingsKey, "check", "ignore", strconv.Itoa(i)}
		below := func(key string) []string { return append(entry[:len(entry):len(entry)], key) }
		wrong := func(path []string, says, next string) {
			d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + " " + says, next})
		}
		if _, ok := ruleNamed(ig.Rule); ig.Rule == "" {
			wrong(entry, "has no rule", "the rules are "+strings.Join(ruleIDs(), ", "))
		} else if !ok {
			wrong(below("rule"), fmt.Sprintf("is %q, which is no rule", ig.Rule), nearOr(ig.Rule, ruleIDs(), "the rules are "+strings.Join(ruleIDs(), ", ")))
		}
		if strings.TrimSpace(ig.Reason) == "" {
			wrong(entry, "has no reason", "add reason: with why this is as it should be")
		}
		if ig.Service != "" {
			d.checkService(ig.Service, services, below("service")...)
		}
	}
}

// isAllowed is what an entry of x-strake.offline.allow may be: a host, or *. and a host.
var isAllowed = regex.New(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

// checkAllow refuses entries of x-strake.offline.allow that no host can be.
func (d *settingsDecoder) checkAllow(all []string) {
	for i, host := range all {
		_, err := netip.ParseAddr(host)
		if err == nil || isAllowed.MatchString(host) {
			continue
		}
		path := []string{settingsKey, "offline", "allow", strconv.Itoa(i)}
		d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + fmt.Sprintf(" is %q, which is no host", host), "write telemetry.example.com, *.example.com or an address"})
	}
}
