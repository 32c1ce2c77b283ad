package compose

import (
	"fmt"
	"strconv"
	"strings"
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
		below := func(key string) []string { return []string{settingsKey, "check", "ignore", strconv.Itoa(i), key} }
		wrong := func(key, says, next string) {
			d.wrong = append(d.wrong, wrongSetting{below(key), false, settingPath(below(key)) + " is " + says, next})
		}
		if _, ok := ruleNamed(ig.Rule); !ok {
			says := fmt.Sprintf("%q, which is no rule", ig.Rule)
			if ig.Rule == "" {
				says = "missing"
			}
			wrong("rule", says, nearOr(ig.Rule, ruleIDs(), "the rules are "+strings.Join(ruleIDs(), ", ")))
		}
		if strings.TrimSpace(ig.Reason) == "" {
			wrong("reason", "missing", "write why this is as it should be: nothing is ignored without a reason")
		}
		if ig.Service != "" {
			d.checkService(ig.Service, services, below("service")...)
		}
	}
}
