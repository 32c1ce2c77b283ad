package compose

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose/regex"
)

var (
	approvalRole = regex.New(`^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$`)
	approverName = regex.New(`^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,99}$`)
)

// checkApprovals refuses roles that nobody can fill and people that cannot be named.
func checkApprovals(e EnvironmentSettings, wrong func(next, says string, path ...string)) {
	for _, role := range slices.Sorted(maps.Keys(e.Approvals)) {
		var people []string
		for _, who := range e.Approvers[role] {
			people = append(people, strings.ToLower(who))
		}
		slices.Sort(people)
		most := len(slices.Compact(people))
		switch n := e.Approvals[role]; {
		case !approvalRole.MatchString(role):
			wrong("write a name of letters, digits, - and _", " is no name of a role", "approvals", role)
		case n < 1:
			wrong("write how many, such as 1, or leave the role out", fmt.Sprintf(" is %d", n), "approvals", role)
		case n > most:
			wrong("name them in approvers", fmt.Sprintf(" is %d, and approvers names %d who may", n, most), "approvals", role)
		}
	}
	for _, role := range slices.Sorted(maps.Keys(e.Approvers)) {
		if _, ok := e.Approvals[role]; !ok {
			wrong("write how many of them are needed, such as approvals: {"+role+": 1}", " is a role of which no approval is asked", "approvers", role)
		}
		for i, who := range e.Approvers[role] {
			if !approverName.MatchString(who) {
				wrong("write a name of .strake/allowed_signers, such as ada", fmt.Sprintf(" is %q, which is no name of a person", who), "approvers", role, strconv.Itoa(i))
			}
		}
	}
}
