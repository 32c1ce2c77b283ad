package seed

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// A seed is made anew from the start once so many would lie on each other, or they would have grown so much over the first.
const (
	deepest       = 8
	growthPercent = 30
)

// ancestor is a seed from which another one is made by the migrations alone.
type ancestor struct {
	*Seed
	commit string
	depth  int
	flat   map[string]int64 // by service: the size of the first
}

// Nearest is the key of the seed on which that of the project could be built by the migrations alone, "" if there is none.
func Nearest(ctx context.Context, e Engine, p *compose.Project, o BuildOptions) (string, error) {
	whole, others := wholes(p, o.State)
	found, err := (&build{Engine: e, p: p, o: o, whole: whole, others: others}).findAncestor(ctx)
	if err != nil || found == nil {
		return "", err
	}
	return found.Key, nil
}

// findAncestor is the seed of the nearest of the project's commits on which this one can be built by the migrations alone; nil if
// there is none.
func (b *build) findAncestor(ctx context.Context) (*ancestor, error) {
	base, commits := b.o.Base, b.o.Commits
	if base.Data == "" || len(commits) == 0 {
		return nil, nil
	}
	images, err := b.Images(ctx, LabelData)
	if err != nil {
		return nil, err
	}
	var best *ancestor
	nearest := len(commits)
	for _, i := range images {
		key := i.Labels[LabelKey]
		at := slices.Index(commits, i.Labels[LabelCommit])
		other := Base{Data: i.Labels[LabelData], Migrations: strings.Split(i.Labels[LabelMigrations], ",")}
		own := i.Labels[LabelFor] == "" || i.Labels[LabelFor] == b.o.Facts.For
		if i.Labels[LabelProject] != b.p.Name || !own || at < 0 || at >= nearest || !base.extends(other) {
			continue
		}
		found, err := Find(ctx, b, b.p, key)
		if err != nil {
			return nil, err
		}
		one := &ancestor{Seed: found, commit: commits[at], depth: 1, flat: map[string]int64{}}
		if found != nil && one.fits(b, images) {
			best, nearest = one, at
		}
	}
	return best, nil
}

// fits reads of the images how deep the seed lies and how much it has grown, and is false where it should be made anew, or is
// sealed in another way.
func (a *ancestor) fits(b *build, images []Image) bool {
	for service, sealed := range a.Sealed {
		if sealed.Volumes != nil && !slices.Equal(sealed.Volumes, volumesOf(b.p.Services[service])) || (sealed.Volumes == nil) != slices.Contains(b.whole, service) {
			return false
		}
		i := slices.IndexFunc(images, func(i Image) bool { return slices.Contains(i.Tags, Ref(b.p.Name, service, a.Key)) })
		if i < 0 {
			return false
		}
		a.flat[service] = images[i].Size
		if n, err := strconv.ParseInt(images[i].Labels[LabelFlat], 10, 64); err == nil {
			a.flat[service] = n
		}
		if n, err := strconv.Atoi(images[i].Labels[LabelDepth]); err == nil {
			a.depth = max(a.depth, n)
		}
		if sealed.Volumes == nil && images[i].Size*100 > a.flat[service]*(100+growthPercent) {
			return false
		}
	}
	return a.depth < deepest
}

// labels are those of an image that is made of the ancestor's, nil: of nothing.
func (a *ancestor) labels(service string) map[string]string {
	if a == nil {
		return map[string]string{LabelDepth: "1"}
	}
	return map[string]string{LabelDepth: strconv.Itoa(a.depth + 1), LabelFlat: strconv.FormatInt(a.flat[service], 10)}
}
