package previews

import (
	"errors"
	"reflect"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// Check finds what of a loaded project a preview would not allow, for compose.Check to sort in: the work tree is root, and the project's own
// policy is the one that counts. They are errors where the project has a policy of previews, and warnings where it has none.
//
// What compose.Check has rules of its own for (the engine's socket, privileged, the machine's network, remote contexts) is of that rule.
func Check(p *compose.Project, root string) []compose.Finding {
	stack := p.Name + "-pr-1" // what it is called makes no difference to what is refused
	_, err := Overlay(p, OverlayOptions{Stack: stack, Generation: 1, Root: root, Policy: p.Settings})
	if err == nil {
		return nil
	}
	level := compose.LevelWarning
	if !reflect.DeepEqual(p.Settings.Previews, compose.PreviewSettings{}) {
		level = compose.LevelError
	}
	var no *RefusedError
	if !errors.As(err, &no) {
		return routeFindings(err, level)
	}
	var all []compose.Finding
	for i, r := range no.Refused {
		f := finding(r, level)
		if i < len(no.services) {
			f.Service = no.services[i]
		}
		if f.Service != "" {
			f.File, f.Line = p.Where("services", f.Service, attribute(f.What))
		}
		all = append(all, f)
	}
	return all
}

// routeFindings are those of an error that is no refusal: of routes, several of which may be wrong.
func routeFindings(err error, level compose.Level) []compose.Finding {
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	var all []compose.Finding
	for _, one := range errs {
		all = append(all, finding(one, level))
	}
	return all
}

// finding is an error as one.
func finding(err error, level compose.Level) compose.Finding {
	what := strings.TrimSuffix(err.Error(), ", which a preview does not allow")
	f := compose.Finding{Rule: ruleOf(what), Level: level, What: what, Why: "a preview of this file is not opened", Fix: "correct it"}
	var hinted compose.Hinted
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		f.Fix = hinted.Hint()
	}
	return f
}

// attribute is the key of a service that a refusal is about; "" where its text begins with none.
func attribute(what string) string {
	for prefix, key := range map[string]string{"the mount at ": "volumes", "env_file of ": "env_file", "label_file of ": "label_file", "secret ": "secrets", "config ": "configs",
		"the build of ": "build", "the context of ": "build", "the Dockerfile of ": "build", "seed.from of ": "x-strake"} {
		if strings.HasPrefix(what, prefix) {
			return key
		}
	}
	_, says, _ := strings.Cut(what, " has ")
	key, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(says, "an "), "a "), " ")
	return strings.TrimSuffix(key, ":")
}

// ruleOf is the rule that a refusal is of.
func ruleOf(what string) string {
	for _, own := range []struct{ says, rule string }{{" has privileged", "privileged"}, {" has network_mode: host", "host-network"}, {" has network_mode: container:", "host-network"},
		{" the engine's socket", "engine-socket"}, {" has the remote context ", "remote-context"}, {" has the additional context ", "remote-context"}} {
		if strings.Contains(what, own.says) {
			return own.rule
		}
	}
	return "preview-refused"
}
