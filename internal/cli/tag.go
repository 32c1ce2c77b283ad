package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

type tagOptions struct {
	Project           projectOptions
	Name, Environment string
	DryRun, JSON      bool
}

func newTag() *cli.Command {
	return &cli.Command{
		Name: "tag", Usage: "Name the release of an environment: an annotated tag of git, and the same tag on its images.", ArgsUsage: "name",
		UsageText:   "strake tag v1.2.0              # what production runs\nstrake tag v1.2.0-rc1 --env stg",
		Description: "0 it is named, 1 failed, 2 wrong usage, 5 the name is another release's, or there is no release, 10 there is something to do (--dry-run), 130 interrupted",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the release of `ENVIRONMENT`; needless where one is the last"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be tagged, and tag nothing"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("say strake tag v1.2.0", "tag takes one name")
			}
			return tag(c.Context, streamsOf(c), tagOptions{projectOptionsOf(c), c.Args().First(), c.String("env"), c.Bool("dry-run"), c.Bool("json")})
		},
	}
}

// tagDocument is what tag --json prints. Its names are stable.
type tagDocument struct {
	Tag         string            `json:"tag"`
	Environment string            `json:"environment"`
	Commit      string            `json:"commit"`
	Images      map[string]string `json:"images"`
	Git         bool              `json:"git"`      // the tag of git is new, or would be
	Services    []string          `json:"services"` // whose image did not have it
}

// tag names a release. The tag of git comes first: the origin has it once, so that of two who name at once one is refused before any image is tagged.
func tag(ctx context.Context, s Streams, o tagOptions) error {
	r, err := beginReleasing(ctx, s, o.Project, true)
	if err != nil {
		return err
	}
	e, err := r.named(ctx, o)
	if err != nil {
		return err
	}
	g, err := r.lookForTag(ctx, s, o.Name, e.Commit)
	if err != nil {
		return err
	}
	at, err := r.imagesOf(ctx, s, e.Environment)
	if err != nil {
		return err
	}
	g.images = at.Path
	d := tagDocument{Tag: o.Name, Environment: e.Environment, Commit: e.Commit, Images: e.Images, Git: g.isNew()}
	if d.Services, err = at.Name(ctx, e, o.Name, true); err != nil {
		return err
	}
	isDone := !d.Git && len(d.Services) == 0
	if !isDone && !o.DryRun {
		if err := r.tagCommit(ctx, s, g, o.Name, e); err != nil {
			return err
		}
		if d.Services, err = at.Name(ctx, e, o.Name, false); err != nil {
			return err
		}
	}
	if o.JSON {
		d.Services = append([]string{}, d.Services...)
		err = printJSON(s.Out, d)
	} else {
		is := "is"
		switch {
		case isDone:
			is = "is already"
		case o.DryRun:
			is = "would be"
		}
		_, err = fmt.Fprintf(s.Out, "%s %s %s, which %s runs: the tag of git and that of %s\n", o.Name, is, release.Short(e.Commit), e.Environment, plural(len(e.Images), "image"))
	}
	if err == nil && o.DryRun && !isDone {
		err = &exitError{code: exitChanges}
	}
	return err
}

// named is the release that gets a name.
func (r *releasing) named(ctx context.Context, o tagOptions) (e release.Entry, err error) {
	if !compose.IsReleaseTag(o.Name) || o.Name == "latest" {
		return e, usagef("write one such as v1.2.0", "%q is no tag for a release, or one of strake's own", o.Name)
	}
	for name, env := range r.environments {
		if env.Tag == o.Name {
			return e, usagef("write one such as v1.2.0", "%s is the tag that follows %s", o.Name, name)
		}
	}
	if o.Environment == "" {
		var last []string
		for _, name := range compose.EnvironmentNames(r.environments) {
			if !slices.ContainsFunc(compose.EnvironmentNames(r.environments), func(other string) bool { return r.environments[other].From == name }) {
				last = append(last, name)
			}
		}
		if len(last) != 1 {
			return e, usagef("say --env "+strings.Join(last, " or --env "), "there is no one environment that is the last")
		}
		o.Environment = last[0]
	}
	if _, err := r.environment(o.Environment); err != nil {
		return e, err
	}
	h, err := r.registry.History(ctx, o.Environment, func(release.History) bool { return true })
	if err != nil {
		return e, err
	}
	e, ok := h.Current()
	if begun, is := h.Begun(); is {
		return e, &release.PolicyError{Why: fmt.Sprintf("%s of %s to %s was begun and is not done", begun.Action, o.Environment, release.Short(begun.Commit)), Next: "run " + begun.Command() + " first"}
	}
	if !ok {
		return e, &release.PolicyError{Why: o.Environment + " has no release yet", Next: "run strake promote " + o.Environment + " first"}
	}
	return e, nil
}

// gitTag is where git has a tag already.
type gitTag struct {
	remote      string // "" where there is none
	images      string // the registry's path that a new one tells of
	here, there bool
}

func (g gitTag) isNew() bool { return !g.here && !g.there || g.remote != "" && !g.there }

// lookForTag finds out whether git has a tag. One of another commit is a *release.PolicyError.
func (r *releasing) lookForTag(ctx context.Context, s Streams, name, commit string) (g gitTag, err error) {
	other := func(at, where string) error {
		return &release.PolicyError{Why: fmt.Sprintf("the tag %s%s is of %s, and not of %s", name, where, release.Short(at), release.Short(commit)), Next: "choose another name: what was named stays"}
	}
	ref := "refs/tags/" + name
	if _, err := git(ctx, s, r.dir, "check-ref-format", ref); err != nil {
		return g, usagef("write one such as v1.2.0", "git takes no tag %q", name)
	}
	if at, err := commitNamed(ctx, s, r.dir, ref); err == nil {
		if g.here = at == commit; !g.here {
			return g, other(at, "")
		}
	}
	if is, err := r.sources.hasOrigin(ctx, s); err != nil || !is {
		return g, err
	}
	g.remote = "origin"
	refs, err := remoteRefs(ctx, s, r.dir, g.remote, ref, ref+"^{}")
	if err != nil {
		return g, fmt.Errorf("look whether origin has %s: %w", name, err)
	}
	at := cmp.Or(refs[ref+"^{}"], refs[ref]) // the first is the commit of an annotated tag
	if g.there = at == commit; at != "" && !g.there {
		return g, other(at, " of origin")
	}
	return g, nil
}

// tagCommit makes the tag of git where it is not, with the digests of the images, and sends it to the origin. One that does not get there is not left here; where
// the origin has it of another commit meanwhile it is a *release.PolicyError.
func (r *releasing) tagCommit(ctx context.Context, s Streams, g gitTag, name string, e release.Entry) error {
	ref := "refs/tags/" + name
	if g.there {
		if g.here {
			return nil
		}
		_, err := gitSaid(ctx, s, r.dir, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--", g.remote, ref+":"+ref)
		return err
	}
	if !g.here {
		var images strings.Builder
		for _, service := range (release.Move{Images: e.Images}).Services() {
			fmt.Fprintf(&images, "%s/%s@%s\n", g.images, service, e.Images[service])
		}
		if _, err := gitSaid(ctx, s, r.dir, "tag", "--annotate", "-m", name+": "+harmless(e.Subject), "-m", "Released to "+e.Environment+" "+e.Time.UTC().Format("2006-01-02 15:04 MST")+":", "-m", images.String(), "--end-of-options", name, e.Commit); err != nil {
			return &compose.HintedError{Err: fmt.Errorf("tag %s: %w", release.Short(e.Commit), err), Next: "git fetch brings commits that the repository does not have yet"}
		}
	}
	if g.remote == "" {
		return nil
	}
	_, err := gitSaid(ctx, s, r.dir, "push", "--quiet", "--no-verify", "--", g.remote, ref+":"+ref)
	if err == nil {
		return nil
	}
	err = &compose.HintedError{Err: fmt.Errorf("push the tag %s: %w", name, err), Next: "run it again where somebody may push tags to " + g.remote}
	if !g.here { // git makes and signs a tag only together with its name
		undoCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if _, undoErr := gitSaid(undoCtx, s, r.dir, "tag", "--delete", name); undoErr != nil {
			err = errors.Join(err, undoErr)
		}
	}
	now, lookErr := r.lookForTag(ctx, s, name, e.Commit)
	var other *release.PolicyError
	switch {
	case errors.As(lookErr, &other):
		return other
	case lookErr == nil && now.there: // somebody else named the same
		return r.tagCommit(ctx, s, now, name, e)
	}
	return err
}
