package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
	"github.com/strake-dev/strake/previews"
)

type pruneOptions struct {
	Project           projectOptions
	DryRun, JSON, Yes bool
}

func newPrune() *cli.Command {
	return &cli.Command{
		Name: "prune", Usage: "Remove what strake left on this engine and nothing needs: of commands that were killed, and its own programs.",
		UsageText:   "strake prune -n     # only show it\nstrake prune --yes",
		Description: "0 done, 1 failed, 2 wrong usage, 10 there is something to remove (--dry-run), 130 interrupted",
		Flags:       []cli.Flag{dryRunFlag(), yesFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			return prune(c.Context, streamsOf(c), pruneOptions{Project: projectOptionsOf(c), DryRun: c.Bool("dry-run"), JSON: c.Bool("json"), Yes: c.Bool("yes")})
		},
	}
}

// leftover is something that can be removed. Its JSON names are stable.
type leftover struct {
	Kind string `json:"kind"` // container, network, volume, image
	Name string `json:"name"`
	Why  string `json:"why"`
	step compose.Step
}

// prune shows what strake left, and removes it.
func prune(ctx context.Context, s Streams, o pruneOptions) error {
	e, err := open(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	all, err := leftovers(ctx, e)
	if err != nil {
		return err
	}
	if o.JSON && (o.DryRun || len(all) == 0) {
		if err := printJSON(s.Out, all); err != nil {
			return err
		}
	}
	switch {
	case len(all) == 0:
		if !o.JSON {
			fmt.Fprintln(s.Out, "nothing of strake's is left on this engine that nothing needs")
		}
		return nil
	case o.DryRun:
		if !o.JSON {
			printLeftovers(s, all)
		}
		return &exitError{code: exitChanges}
	case !o.Yes && !s.isInteractive():
		printLeftovers(s, all)
		return usagef("say --yes", "prune removes %s, and there is no terminal to ask on", plural(len(all), "thing"))
	case !o.Yes:
		printLeftovers(s, all)
		if err := confirm(ctx, s, "This removes "+plural(len(all), "thing")+".", "nothing was removed"); err != nil {
			return err
		}
		now, err := leftovers(ctx, e) // somebody may have begun to need one
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(l leftover) bool {
			return !slices.ContainsFunc(now, func(n leftover) bool { return n.Kind == l.Kind && n.Name == l.Name && n.step.Target == l.step.Target })
		})
	}
	var errs []error
	var gone []leftover
	for _, l := range all {
		if l.Kind == "network" && strings.HasPrefix(l.Name, localName("")) {
			_ = leave(ctx, e, l.Name) // the proxy may not have heard yet
		}
		if err := e.Do(ctx, l.step, nil); err != nil {
			errs = append(errs, fmt.Errorf("remove %s %s: %w", l.Kind, l.Name, err))
			continue
		}
		gone = append(gone, l)
	}
	if o.JSON {
		errs = append(errs, printJSON(s.Out, gone))
	} else {
		fmt.Fprintf(s.Out, "removed %s\n", plural(len(gone), "thing"))
	}
	return errors.Join(errs...)
}

func printLeftovers(s Streams, all []leftover) {
	rows := [][]string{{"KIND", "NAME", "WHY"}}
	for _, l := range all {
		rows = append(rows, []string{l.Kind, l.Name, l.Why})
	}
	_ = printTable(s.Out, rows) // what is wrong with a pipe is seen by who reads it
}

// leftovers are the things of strake's own that nothing needs: containers first, what they use after them.
func leftovers(ctx context.Context, e *engine.Engine) ([]leftover, error) {
	all := []leftover{}
	claims, busy, err := deadClaims(ctx, e)
	if err != nil {
		return nil, err
	}
	all = append(all, claims...)
	scratch, err := e.Observe(ctx, compose.Scope{Label: seed.LabelProject})
	if err != nil {
		return nil, err
	}
	all = append(all, partsOf(scratch, func(labels map[string]string) string {
		project := labels[seed.LabelProject]
		if labels[compose.LabelProject] != seed.ScratchName(project) || slices.Contains(busy, seed.ScratchName(project)) {
			return ""
		}
		return "of a build of seeds that was interrupted"
	})...)
	of, err := e.Observe(ctx, compose.Scope{Label: previews.LabelPreview})
	if err != nil {
		return nil, err
	}
	recorded := map[string]bool{}
	for _, c := range of.Containers {
		if stack := c.Labels[previews.LabelRecord]; stack != "" {
			recorded[stack] = true
		}
	}
	all = append(all, partsOf(of, func(labels map[string]string) string {
		stack := labels[previews.LabelPreview]
		if recorded[stack] || slices.Contains(busy, stack) || !previews.IsOf(stack, labels[compose.LabelProject]) {
			return ""
		}
		return "of preview " + stack + ", which is gone"
	})...)
	forwards, err := e.Observe(ctx, compose.Scope{Label: labelForward})
	if err != nil {
		return nil, err
	}
	all = append(all, partsOf(forwards, func(labels map[string]string) string {
		var holder compose.Owner
		known := json.Unmarshal([]byte(labels[labelForward]), &holder) == nil && holder.Command != ""
		if !known || isAlive(holder) || !strings.HasPrefix(labels[compose.LabelProject], "strake-forward-") {
			return ""
		}
		return "of a forward that was killed"
	})...)
	marks, served, err := localLeftovers(ctx, e)
	if err != nil {
		return nil, err
	}
	all = append(all, marks...)
	if marks, err = staleMarks(ctx, e, busy); err != nil {
		return nil, err
	}
	all = append(all, marks...)
	gateway, err := gatewayLeftovers(ctx, e, len(recorded) > 0 || served)
	return append(all, gateway...), err
}

// localLeftovers are the records and networks of local stacks of which nothing is left; served is whether the gateway serves one that is
// there.
func localLeftovers(ctx context.Context, e *engine.Engine) (all []leftover, served bool, err error) {
	marks, err := e.Observe(ctx, compose.Scope{Label: labelLocal})
	if err != nil {
		return nil, false, err
	}
	gone := map[string]bool{}
	for _, l := range partsOf(marks, func(labels map[string]string) string { return labels[labelLocal] }) {
		project := l.Why // for the moment
		if l.Name != localName(project) {
			continue // somebody's own, with our label
		}
		if _, known := gone[project]; !known {
			stack, err := e.Observe(ctx, compose.Scope{Project: project})
			if err != nil {
				return nil, false, err
			}
			gone[project] = len(stack.Containers) == 0
		}
		if served = served || !gone[project]; gone[project] {
			all = append(all, removal(l.Kind, l.Name, l.step.Target, "of the gateway, for "+project+", which is gone"))
		}
	}
	return all, served, nil
}

// staleMarks are marks of commands about seeds that say nothing any more: of resets of stacks of which no data is there, and of saves that have
// nothing stopped.
func staleMarks(ctx context.Context, e *engine.Engine, busy []string) (all []leftover, err error) {
	for _, label := range []string{seed.LabelReset, seed.LabelSave} {
		marks, err := e.Observe(ctx, compose.Scope{Label: label})
		if err != nil {
			return nil, err
		}
		for _, c := range marks.Containers {
			project := c.Labels[seed.LabelProject]
			if !slices.Contains(seed.Marks(project), c.Name) || slices.Contains(busy, project) {
				continue // somebody's own, with our label, or in use
			}
			have, err := e.Observe(ctx, seed.MarksOf(project))
			if err != nil {
				return nil, err
			}
			stopped, err := seed.Stopped(ctx, seedEngine{e}, project, have)
			if err != nil {
				return nil, err
			}
			data := len(have.Volumes) > 0 || slices.ContainsFunc(have.Containers, func(c compose.Container) bool { return c.Labels[compose.LabelProject] == project })
			switch {
			case label == seed.LabelReset && !data:
				all = append(all, removal("container", c.Name, c.ID, "of a reset that did not come to its end, and nothing of "+project+" is there"))
			case label == seed.LabelSave && len(stopped) == 0:
				all = append(all, removal("container", c.Name, c.ID, "of a save that did not come to its end, and what it stopped was started or is gone"))
			}
		}
	}
	return all, nil
}

// deadClaims are the claims of processes of this machine that are dead; busy are the projects of all others.
func deadClaims(ctx context.Context, e *engine.Engine) (dead []leftover, busy []string, err error) {
	state, err := e.Observe(ctx, compose.Scope{Label: compose.LabelClaim})
	if err != nil {
		return nil, nil, err
	}
	for _, c := range state.Containers {
		project := c.Labels[compose.LabelClaim]
		var holder compose.Owner
		known := json.Unmarshal([]byte(c.Labels[compose.LabelOwner]), &holder) == nil && holder.Command != ""
		if c.Name != compose.ClaimName(project) {
			continue // somebody's own, with our label
		}
		if !known || isAlive(holder) {
			busy = append(busy, project)
			continue
		}
		dead = append(dead, removal("container", c.Name, c.ID, fmt.Sprintf("the claim of %s, which ended at %s or later", holder.Command, holder.Since.Local().Format(time.DateTime))))
	}
	return dead, busy, nil
}

// partsOf are the parts of a state for which why is not "".
func partsOf(state compose.State, why func(labels map[string]string) string) []leftover {
	var all []leftover
	for _, c := range state.Containers {
		if w := why(c.Labels); w != "" {
			all = append(all, removal("container", c.Name, c.ID, w))
		}
	}
	for _, n := range state.Networks {
		if w := why(n.Labels); w != "" {
			all = append(all, removal("network", n.Name, n.ID, w))
		}
	}
	for _, v := range state.Volumes {
		if w := why(v.Labels); w != "" {
			all = append(all, removal("volume", v.Name, v.Name, w))
		}
	}
	return all
}

// removal is a leftover with the step that removes it.
func removal(kind, name, target, why string) leftover {
	op := map[string]compose.Op{"container": compose.RemoveContainer, "network": compose.RemoveNetwork, "volume": compose.RemoveVolume, "image": compose.RemoveImage}[kind]
	return leftover{Kind: kind, Name: name, Why: why, step: compose.Step{Op: op, Name: name, Target: target, Volumes: kind == "container"}}
}

// gatewayLeftovers are the gateway where there is no stack for it, and the programs that neither it nor a stand-in runs.
func gatewayLeftovers(ctx context.Context, e *engine.Engine, needed bool) ([]leftover, error) {
	state, err := e.Observe(ctx, compose.Scope{Project: gatewayProject})
	if err != nil {
		return nil, err
	}
	var all []leftover
	if !needed {
		all = partsOf(state, func(labels map[string]string) string {
			if labels[compose.LabelProject] == gatewayProject {
				return "of the gateway, and there is no stack for it"
			}
			return ""
		})
	}
	images, err := e.ImagesWith(ctx, labelProgram)
	if err != nil {
		return nil, err
	}
	others, err := e.Observe(ctx, compose.Scope{Label: compose.LabelProject}) // stand-ins
	if err != nil {
		return nil, err
	}
	for _, i := range images {
		used := slices.ContainsFunc(others.Containers, func(c compose.Container) bool {
			return (needed || c.Labels[compose.LabelProject] != gatewayProject) && (c.Image == i.ID || slices.Contains(i.Tags, c.ImageRef))
		})
		for _, tag := range i.Tags {
			if !used && strings.HasPrefix(tag, "strake-program:") {
				all = append(all, removal("image", tag, tag, "a strake that no container runs"))
			}
		}
	}
	return all, nil
}
